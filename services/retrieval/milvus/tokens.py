"""Names and values as hexadecimal tokens: the only form in which they enter Milvus' expressions.

Milvus' expression language differs between versions in its escapes, in `like`, in how it compares
numbers inside JSON and in what `not` makes of a missing field. So nothing a caller writes becomes
part of an expression. What is compared for equality is a hash; what is compared for order or by
prefix is text whose bytes sort as the values do. Both consist of 0-9 and a-f.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

from services.filters.values import FieldType, Timestamp, Value

TOKEN_CHARACTERS = 32
MAX_TEXT_BYTES = 2048
"""Longest keyword kept for order and prefixes; longer ones are refused when written."""

_SIGN = 1 << 63
_ALL = (1 << 64) - 1


def token(*parts: str) -> str:
    """Returns the hash of some texts, 32 hexadecimal digits."""
    digest = blake2b(digest_size=TOKEN_CHARACTERS // 2)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def document_token(document_id: str) -> str:
    """Returns the key of a document."""
    return token("document", document_id)


def tenant_token(tenant: str) -> str:
    """Returns the mark of a tenant's rows."""
    return token("tenant", tenant)


def reader_token(principal: str) -> str:
    """Returns the mark of rows that a principal may read."""
    return token("reader", principal)


def field_token(field: str) -> str:
    """Returns the mark of rows that have a field, which is also its key among ordered values."""
    return token("field", field)


def value_token(field: str, kind: FieldType, value: Value) -> str:
    """Returns the mark of rows whose field equals, or whose tags contain, a value.

    Args:
        field: Name of the field.
        kind: Its type.
        value: A value of that type; for TAGS one of the tags.
    """
    if kind in {FieldType.KEYWORD, FieldType.TAGS}:
        return token("value", field, str(value))
    if kind is FieldType.BOOL:
        return token("value", field, "true" if value else "false")
    return token("value", field, ordered(kind, value))


def ordered(kind: FieldType, value: Value) -> str:
    """Returns text that sorts among texts of the same type as the value among values.

    Args:
        kind: KEYWORD, INTEGER, FLOAT or TIMESTAMP.
        value: A value of that type.
    """
    if kind is FieldType.KEYWORD:
        return str(value).encode("utf-8", "surrogatepass").hex()
    if kind is FieldType.FLOAT:
        number = float(value) + 0.0  # pyright: ignore[reportArgumentType] # -0.0 becomes 0.0
        bits = struct.unpack(">Q", struct.pack(">d", number))[0]
        bits = bits ^ _ALL if bits & _SIGN else bits | _SIGN
        return f"{bits:016x}"
    whole = value.micros if isinstance(value, Timestamp) else int(value)  # pyright: ignore[reportArgumentType]
    return f"{whole + _SIGN:016x}"
