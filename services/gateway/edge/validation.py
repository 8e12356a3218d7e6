"""What pydantic finds wrong, in our words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.rpc.errors import FieldViolation, InvalidArgumentError, Reason

_MAX_VIOLATIONS = 20
_PLACES = {"body", "query", "path", "header"}


def validation_error(errors: Sequence[Any], root: str = "") -> InvalidArgumentError:
    """Returns the error that names each wrong field, never the value that was sent.

    Args:
        errors: As pydantic lists them.
        root: Path that the fields are under.
    """
    violations = {}
    for each in errors[:_MAX_VIOLATIONS]:
        path = _path(each["loc"], root)
        violations.setdefault(path, FieldViolation(path, _description(each)))
    listed = tuple(violations.values())
    first = listed[0] if listed else FieldViolation(root or "body", "is wrong")
    return InvalidArgumentError(
        Reason.INVALID_FIELD, f"{first.field}: {first.description}", violations=listed
    )


def _path(location: Sequence[Any], root: str) -> str:
    parts = list(location)
    if parts and parts[0] in _PLACES and (len(parts) > 1 or parts[0] == "body"):
        parts = parts[1:]
    path = root
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _is_branch(part):
            continue
        else:
            path += f".{part}" if path else str(part)
    return path[:300] or "body"


def _is_branch(part: Any) -> bool:
    """Whether the part names a branch of a union and no field."""
    return part in {"str", "int", "float", "bool", "TimestampValue"} or str(part).startswith(
        "list["
    )


def _description(error: Any) -> str:
    kind = error["type"]
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not a field of this request"
    if kind in {"model_attributes_type", "dict_type"}:
        return "must be a JSON object"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}"
