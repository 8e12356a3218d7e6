"""Writes docs/configuration.md from the settings classes, or checks that it is current.

    generate_configuration.py            writes the page
    generate_configuration.py --check    exit status 1 when the page is not what the classes say

A field's docstring is its meaning; its type and bounds are its values.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protos")]
MIB = 1024 * 1024
PAGE = ROOT / "docs" / "configuration.md"
SERVICES = ("gateway", "embedding", "retrieval", "generation", "ingestion")

HEAD = """# Configuration

<!-- Written by `make configuration` from services/<name>/settings.py. Change it there. -->

Every process is configured by environment variables, read once at its start. An unknown variable
with a service's prefix, or a value that does not fit, stops the start with exit status 2 and a
message that names the variable. A secret can be read from a file instead: append `_FILE` to its
name and give the path.

`cairn up` and `cairn demo` set addresses, ports and the data directory themselves and pass all
other variables through.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the page."""

    name: str
    default: str
    values: str
    meaning: str


def settings_class(service: str) -> type[Any]:
    """Returns the settings class of a service."""
    from services.rpc.settings import ServiceSettings

    module = importlib.import_module(f"services.{service}.settings")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, ServiceSettings)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise SystemExit(f"{module.__name__} must hold exactly one settings class, has {found}")
    return found[0]


def describe(service: str, *, inherited: bool) -> Iterator[Setting]:
    """Yields the settings a service declares itself, or those it inherits."""
    from services.rpc.settings import ServiceSettings

    cls = settings_class(service)
    prefix = cls.model_config["env_prefix"]
    for name, field in cls.model_fields.items():
        if (name in ServiceSettings.model_fields) is inherited:
            yield Setting(
                name=f"{prefix}{name}".upper(),
                default=default_text(field),
                values=type_text(field),
                meaning=" ".join((field.description or "").split()),
            )


def default_text(field: FieldInfo) -> str:
    """Returns the default as a reader would write it."""
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value in (None, "", (), []):
        return "empty"
    if isinstance(value, tuple | list):
        value = ",".join(str(item) for item in value)
    if isinstance(value, int) and value >= MIB and value % MIB == 0:
        return f"`{value}` ({value // MIB} MiB)"
    return f"`{value}`"


def type_text(field: FieldInfo) -> str:
    """Returns the allowed values: the type, with its bounds or choices."""
    annotation = field.annotation
    options = [option for option in get_args(annotation) if option is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{option}`" for option in get_args(annotation))
    if annotation is SecretStr or SecretStr in options:
        return "secret"
    if len(options) == 1 and get_origin(annotation) not in (tuple, list, dict):
        annotation = options[0]
    text = "list, separated by commas" if get_origin(annotation) in (tuple, list) else "text"
    for kind, name in (
        (Path, "path"),
        (int, "integer"),
        (float, "number"),
        (bool, "true or false"),
    ):
        if annotation is kind:
            text = name
    bounds = []
    for mark in field.metadata:
        for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (bound := getattr(mark, key, None)) is not None:
                bounds.append(f"{sign} {bound}")
    return f"{text} {', '.join(bounds)}" if bounds else text


def table(rows: list[Setting]) -> str:
    """Returns the rows as a Markdown table."""
    lines = ["| variable | default | values | meaning |", "|---|---|---|---|"]
    for row in rows:
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{row.name}` | {row.default} | {row.values} | {meaning} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """Returns the whole page."""
    parts = [HEAD, "\n## Every service\n"]
    parts.append(
        "\nEach service has these, with its own prefix; the table shows the gateway's.\n\n"
    )
    parts.append(table(list(describe("gateway", inherited=True))))
    parts.append("\n| service | gRPC | metrics |\n|---|---|---|\n")
    for service in SERVICES:
        fields = settings_class(service).model_fields
        ports = [fields[name].default for name in ("port", "metrics_port")]
        parts.append(f"| {service} | {ports[0]} | {ports[1]} |\n")
    for service in SERVICES:
        parts.append(f"\n## {service.capitalize()}\n\n")
        parts.append(table(list(describe(service, inherited=False))))
    return "".join(parts)


def main(arguments: list[str]) -> int:
    """Writes the page, or checks it with --check."""
    text = page()
    if arguments == ["--check"]:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print(
            "docs/configuration.md is not what the settings classes say: run `make configuration`"
        )
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
