"""Hostile variants of a valid protobuf message: one field at a time gets every value that tends to hurt."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

LONG = "a" * 300_000
STRINGS = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "../../../etc/passwd",
    "'; DROP TABLE documents; --",
    "\u202e\u200b\ufeff",
    "🪨" * 700,
    "no such thing",
    LONG,
)
INTEGERS = {
    Field.CPPTYPE_INT32: (0, 1, -1, 2**31 - 1, -(2**31)),
    Field.CPPTYPE_INT64: (0, 1, -1, 2**63 - 1, -(2**63)),
    Field.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
}
FLOATS = (0.0, -1.0, 1e30, -1e30, math.nan, math.inf, -math.inf)
BYTES = (b"", b"\xff", b"\x00" * 7, b"\x00\x00\xc0\x7f" * 384, b"\x00\x00\x80\x7f" * 384)
ENUMS = (0, 1, 2, 3, 9999, -1)
MAX_DEPTH = 5


def _is_map(field: Field) -> bool:
    message = field.message_type
    return message is not None and message.GetOptions().map_entry


def _scalars(field: Field) -> tuple[Any, ...]:
    kind = field.cpp_type
    if kind == Field.CPPTYPE_STRING:
        return BYTES if field.type == Field.TYPE_BYTES else STRINGS
    if kind == Field.CPPTYPE_ENUM:
        return ENUMS
    if kind in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
        return FLOATS
    if kind == Field.CPPTYPE_BOOL:
        return (False, True)
    return INTEGERS[kind]


def _set_leaf(owner: Message, field: Field) -> Iterator[str]:
    """Sets a scalar field to each hostile value in turn, yielding a name for each."""
    for value in _scalars(field):
        owner.ClearField(field.name)
        if field.is_repeated:
            getattr(owner, field.name).append(value)
        else:
            setattr(owner, field.name, value)
        yield repr(value)[:24]
    if field.is_repeated:
        for count in (2, 5_000):
            owner.ClearField(field.name)
            getattr(owner, field.name).extend([_scalars(field)[-2]] * count)
            yield f"x{count}"


def _children(owner: Message, field: Field) -> list[Message]:
    if not field.is_repeated:
        return [getattr(owner, field.name)] if owner.HasField(field.name) else []
    return list(getattr(owner, field.name))[:2]


def _mutations(
    root: Message, owner: Message, path: str, depth: int
) -> Iterator[tuple[str, Message]]:
    for field in owner.DESCRIPTOR.fields:
        where = f"{path}.{field.name}" if path else field.name
        before = copy.deepcopy(owner)
        if _is_map(field):
            owner.ClearField(field.name)
            yield f"{where}={{}}", copy.deepcopy(root)
        elif field.cpp_type == Field.CPPTYPE_MESSAGE:
            if depth < MAX_DEPTH:
                for child in _children(owner, field):
                    yield from _mutations(root, child, where, depth + 1)
            owner.ClearField(field.name)
            yield f"{where} absent", copy.deepcopy(root)
            if field.is_repeated:
                getattr(owner, field.name).add()
            else:
                getattr(owner, field.name).SetInParent()
            yield f"{where} empty", copy.deepcopy(root)
        else:
            for name in _set_leaf(owner, field):
                yield f"{where}={name}", copy.deepcopy(root)
        owner.CopyFrom(before)


def hostile_variants(valid: Message) -> Iterator[tuple[str, Message]]:
    """Yields (what was changed, message) for every hostile change of one field of `valid`.

    Args:
        valid: A request that the service accepts; it is left as it was.
    """
    yield "empty message", type(valid)()
    root = copy.deepcopy(valid)
    yield from _mutations(root, root, "", 0)
