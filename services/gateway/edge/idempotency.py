"""The header that makes a submission repeatable, beside the field of each document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Header, Request

from services.gateway.requests import NewDocument, check_text
from services.rpc.errors import InvalidArgumentError

HEADER = "Idempotency-Key"
_MAX_CHARACTERS = 240
"""16 of those that a document's key may have are left for its place."""

IdempotencyKey = Annotated[
    str,
    Header(
        alias=HEADER,
        description="Makes the submission repeatable: its documents' `idempotency_key`. Of several "
        'documents each has the key, "/" and its place, from 0.',
    ),
]


def with_key(request: Request, documents: Sequence[NewDocument]) -> Sequence[NewDocument]:
    """Returns documents with the key that the request's header gives, where it gives one.

    Raises:
        InvalidArgumentError: the header is there twice or is too long, or a document has another
            key of its own.
    """
    given = {_bare(each) for each in request.headers.getlist(HEADER)} - {""}
    if not given:
        return documents
    if len(given) > 1:
        raise InvalidArgumentError.for_field(HEADER, "is there twice and differs: send it once")
    key = check_text(HEADER, given.pop(), limit=_MAX_CHARACTERS)
    keys = [key] if len(documents) == 1 else [f"{key}/{place}" for place in range(len(documents))]
    for place, (document, own) in enumerate(zip(documents, keys, strict=True)):
        if document.idempotency_key not in {"", own}:
            raise InvalidArgumentError.for_field(
                HEADER,
                f"differs from documents[{place}].idempotency_key: send the header or the field",
            )
    return [
        replace(document, idempotency_key=own)
        for document, own in zip(documents, keys, strict=True)
    ]


def _bare(value: str) -> str:
    """Returns a key without the quotation marks that some clients put around it."""
    value = value.strip()
    is_quoted = len(value) > 1 and value[0] == value[-1] == '"'
    return value[1:-1] if is_quoted else value
