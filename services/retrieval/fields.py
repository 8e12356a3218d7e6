"""Types of metadata fields: declared, or inferred from the first value; conflicts are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.filters.values import FieldType, Value, type_of
from services.retrieval.collections import SchemaPolicy
from services.retrieval.limits import MAX_FIELDS
from services.rpc.errors import FieldViolation, InvalidArgumentError, Reason

if TYPE_CHECKING:
    from services.retrieval.documents import Document


def fit(
    documents: Sequence[Document],
    fields: Mapping[str, FieldType],
    policy: SchemaPolicy = SchemaPolicy.INFERRED,
) -> tuple[Sequence[Document], dict[str, FieldType]]:
    """Returns the documents with values in their fields' types, and the fields known afterwards.

    Raises:
        InvalidArgumentError: a value has another type than its field, a field is not declared where
            only declared ones are accepted, or there would be too many fields.
    """
    known = dict(fields)
    fitted = list(documents)
    for index, document in enumerate(documents):
        changed: dict[str, Value] = {}
        for name, value in document.metadata.items():
            if value is None:
                continue
            if name not in known and policy is SchemaPolicy.DECLARED_ONLY:
                raise _undeclared(f"documents[{index}].metadata[{name!r}]", known)
            given = type_of(value)
            kind = known.setdefault(name, given)
            if kind is given:
                continue
            if kind is FieldType.FLOAT and given is FieldType.INTEGER:
                changed[name] = float(value)  # pyright: ignore[reportArgumentType]
            else:
                raise _conflict(f"documents[{index}].metadata[{name!r}]", kind, given)
        if changed:
            fitted[index] = replace(document, metadata={**document.metadata, **changed})
    if len(known) > MAX_FIELDS:
        raise InvalidArgumentError(
            Reason.TOO_LARGE,
            f"the collection would have more than {MAX_FIELDS} metadata fields",
            metadata={"limit": str(MAX_FIELDS), "size": str(len(known))},
        )
    return fitted, known


def _undeclared(path: str, known: Mapping[str, FieldType]) -> InvalidArgumentError:
    declared = ", ".join(sorted(known)[:20]) or "none"
    text = f"the collection accepts declared fields only (it has {declared})"
    return InvalidArgumentError(
        Reason.INVALID_FIELD, f"{path}: {text}", violations=[FieldViolation(path, text)]
    )


def _conflict(path: str, wanted: FieldType, given: FieldType) -> InvalidArgumentError:
    text = f"the field holds {wanted.name}, the value is {given.name}"
    return InvalidArgumentError(
        Reason.TYPE_CONFLICT,
        f"{path}: {text}",
        metadata={"expected": wanted.name, "actual": given.name},
        violations=[FieldViolation(path, text)],
    )
