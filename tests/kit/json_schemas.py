"""Random JSON Schemas of the kinds that applications ask answers to follow."""

from __future__ import annotations

import random
from typing import Any

_WORDS = ("name", "kind", "score", "tags", "answer", "found", "page", "reason", "parts", "unit")


def random_schema(source: random.Random, depth: int = 3) -> dict[str, Any]:
    """Returns an object's schema; every string, list and number in it is bounded."""
    names = source.sample(_WORDS, source.randint(1, 4))
    required = [name for name in names if source.random() < 0.8]
    return {
        "type": "object",
        "properties": {name: _value(source, depth - 1) for name in names},
        "required": required,
        "additionalProperties": False,
    }


def _value(source: random.Random, depth: int) -> dict[str, Any]:
    simple = ("string", "integer", "number", "boolean", "null", "enum", "const")
    kind = source.choice(simple if depth <= 0 else (*simple, "array", "object", "anyOf"))
    if kind == "string":
        least = source.randint(0, 3)
        return {"type": "string", "minLength": least, "maxLength": least + source.randint(0, 8)}
    if kind == "integer":
        least = source.randint(-50, 50)
        return {"type": "integer", "minimum": least, "maximum": least + source.randint(0, 100)}
    if kind == "number":
        return {"type": "number", "minimum": 0, "maximum": source.randint(1, 9)}
    if kind == "enum":
        return {"enum": source.sample(["low", "high", 1, 2, True, None, "ü"], 3)}
    if kind == "const":
        return {"const": source.choice(["fixed", 7, False])}
    if kind == "array":
        least = source.randint(0, 2)
        most = least + source.randint(0, 2)
        items = _value(source, depth - 1)
        return {"type": "array", "items": items, "minItems": least, "maxItems": most}
    if kind == "object":
        return random_schema(source, depth)
    if kind == "anyOf":
        return {"anyOf": [_value(source, depth - 1) for _ in range(2)]}
    return {"type": kind}
