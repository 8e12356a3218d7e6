"""Writes the TypeScript types of the REST API, from the OpenAPI description of the routes.

generate_typescript.py            writes clients/typescript/cairn.d.ts
generate_typescript.py --check    exit status 1 when the file is not what the routes say
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protos")]

TYPES = ROOT / "clients" / "typescript" / "cairn.d.ts"
_METHODS = ("get", "post", "put", "patch", "delete")
_SIMPLE = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


class _Anything:
    """Stands in for what routes call once they run, which here they never do."""

    def __getattr__(self, name: str) -> Any:
        return _Anything()


def description() -> dict[str, Any]:
    """Returns the description of the gateway's routes."""
    from services.gateway.edge.http import describe, http_app

    nothing: Any = _Anything()
    count = http_app.__code__.co_argcount
    return describe(http_app(*[nothing] * count))


def types_of(api: dict[str, Any]) -> str:
    """Returns the TypeScript types of a description."""
    lines = [
        "// Types of Cairn's REST API. Written by `make typescript` from the routes.",
        f"// API version {api['info']['version']}.",
        "",
    ]
    for name, schema in sorted(api["components"]["schemas"].items()):
        lines += _documented(schema, "")
        if "properties" in schema:
            lines += [f"export interface {name} {_object(schema, '')}", ""]
        else:
            lines += [f"export type {name} = {_type(schema, '')};", ""]
    lines += ["/** Every operation by its identifier. */", "export interface Operations {"]
    for path, operations in api["paths"].items():
        for method in _METHODS:
            if method in operations:
                lines += _operation(method, path, operations[method])
    return "\n".join([*lines, "}", ""])


def _operation(method: str, path: str, operation: dict[str, Any]) -> list[str]:
    parameters: dict[str, list[str]] = {"path": [], "query": []}
    for each in operation.get("parameters", ()):
        mark = "" if each.get("required") else "?"
        kind = _type(each["schema"], "      ")
        parameters.setdefault(each["in"], []).append(f"{_key(each['name'])}{mark}: {kind}")
    body = operation.get("requestBody", {}).get("content", {})
    good = {code: each for code, each in operation["responses"].items() if code.startswith("2")}
    results = {
        _type(media["schema"], "    ") if media.get("schema") else "unknown"
        for each in good.values()
        for media in each.get("content", {}).values()
    }
    bodies = [_type(each["schema"], "    ") for each in body.values()]
    text = (operation.get("description") or operation.get("summary") or "").split("\n")[0]
    return [
        f"  /** {text} */",
        f"  {operation['operationId']}: {{",
        f'    method: "{method.upper()}";',
        f'    url: "{path}";',
        *(
            f"    {place}: {{ {'; '.join(given)} }};" if given else f"    {place}: {{}};"
            for place, given in parameters.items()
        ),
        f"    body: {' | '.join(bodies) or 'never'};",
        f"    result: {' | '.join(sorted(results)) or 'void'};",
        "  };",
    ]


def _object(schema: dict[str, Any], indent: str) -> str:
    inner = indent + "  "
    required = set(schema.get("required", ()))
    lines = ["{"]
    for name, each in schema["properties"].items():
        lines += _documented(each, inner)
        mark = "" if name in required else "?"
        lines.append(f"{inner}{_key(name)}{mark}: {_type(each, inner)};")
    if schema.get("additionalProperties"):
        lines.append(f"{inner}[other: string]: unknown;")
    return "\n".join([*lines, f"{indent}}}"])


def _type(schema: Any, indent: str) -> str:
    if not isinstance(schema, dict) or not schema:
        return "unknown"
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[-1]
    for joint in ("anyOf", "oneOf"):
        if joint in schema:
            return " | ".join(dict.fromkeys(_type(each, indent) for each in schema[joint]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    return _structure(schema, indent)


def _structure(schema: dict[str, Any], indent: str) -> str:
    kind = schema.get("type")
    if kind == "array":
        inner = _type(schema.get("items"), indent)
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind == "object":
        if schema.get("properties"):
            return _object(schema, indent)
        return f"Record<string, {_type(schema.get('additionalProperties'), indent)}>"
    if schema.get("format") == "binary":
        return "Blob | string"
    return _SIMPLE.get(str(kind), "unknown")


def _documented(schema: dict[str, Any], indent: str) -> list[str]:
    text = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return [f"{indent}/** {text} */"] if text else []


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def main(arguments: list[str]) -> int:
    """Writes the file, or checks it."""
    wanted = types_of(description())
    if TYPES.exists() and TYPES.read_text(encoding="utf-8") == wanted:
        return 0
    if "--check" in arguments:
        print(f"{TYPES.relative_to(ROOT)} is not current: run `make typescript`")
        return 1
    TYPES.write_text(wanted, encoding="utf-8")
    print(f"wrote {TYPES.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
