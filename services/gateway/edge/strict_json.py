"""JSON as the standard has it: no NaN, no infinities, no half surrogate pairs, no name twice."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from services.rpc.errors import InvalidArgumentError, Reason

MAX_DEPTH = 64
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_json(data: bytes) -> Any:
    """Returns the value of a JSON text.

    Raises:
        InvalidArgumentError: it is not JSON, or holds what JSON or Unicode does not know.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError.for_field(
            "body", f"is not valid UTF-8 at byte {error.start}", Reason.INVALID_TEXT
        ) from None
    try:
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            object_pairs_hook=_names_once,
        )
    except json.JSONDecodeError as error:
        raise InvalidArgumentError.for_field(
            "body", f"is not JSON: {error.msg} at character {error.pos}"
        ) from None
    except RecursionError:
        raise InvalidArgumentError.for_field("body", "nests too deep") from None
    except ValueError:  # a whole number of thousands of digits
        raise InvalidArgumentError.for_field("body", "holds a number out of range") from None
    if _is_deep(text):
        _check_depth(value)
    if "\\u" in text:
        _check_texts(value)
    return value


def _no_constant(name: str) -> NoReturn:
    raise InvalidArgumentError.for_field("body", f"holds {name}, which is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidArgumentError.for_field("body", f"holds {text[:32]}, which is out of range")
    return number


def _names_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object: of two values for one name, another reader may take the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))
        shown = name[:64].encode("utf-8", "replace").decode("utf-8")
        raise InvalidArgumentError.for_field("body", f"has the name {shown!r} twice")
    return found


def _is_deep(text: str) -> bool:
    return text.count("[") + text.count("{") > MAX_DEPTH


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidArgumentError.for_field("body", f"nests deeper than {MAX_DEPTH}")
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]


def _check_texts(value: Any) -> None:
    stack: list[tuple[str, Any]] = [("body", value)]
    while stack:
        path, each = stack.pop()
        if isinstance(each, str):
            if found := _SURROGATE.search(each):
                raise InvalidArgumentError.for_field(
                    path.removeprefix("body."),
                    f"holds half of a surrogate pair at character {found.start()}",
                    Reason.INVALID_TEXT,
                )
        elif isinstance(each, dict):
            for name, child in each.items():
                if _SURROGATE.search(name):
                    raise InvalidArgumentError.for_field(
                        path, "has a name with half of a surrogate pair", Reason.INVALID_TEXT
                    )
                stack.append((f"{path}.{name}", child))
        elif isinstance(each, list):
            stack.extend((f"{path}[{index}]", child) for index, child in enumerate(each))
