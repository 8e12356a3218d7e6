"""What the rules of a source say of an item."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.ingestion.document import Priority, metadata_to_json
from services.ingestion.sources.glob import matches
from services.ingestion.sources.model import RemovalPolicy, Source
from services.ingestion.validation import MAX_ID_CHARACTERS

if TYPE_CHECKING:
    from services.filters.values import Value

SOURCE_FIELD, OWNER_FIELD = "source", "owner"
"""Metadata fields by which the documents of a source and of an owner are found again."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an item's document goes and who may read it."""

    collection: str
    acl: tuple[str, ...] = ()
    metadata: Mapping[str, Value | None] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    on_removal: RemovalPolicy = RemovalPolicy.DELETE

    @property
    def digest(self) -> str:
        """A hash that changes when the document has to be written anew."""
        text = json.dumps(
            [self.collection, sorted(self.acl), json.loads(metadata_to_json(self.metadata))]
        )
        return hashlib.sha256(text.encode()).hexdigest()


def place(source: Source, path: str) -> Placement | None:
    """Returns what holds for an item, or None when a rule leaves it out.

    The first rule whose pattern matches applies, and the source where it says nothing.
    """
    own: dict[str, Value | None] = {SOURCE_FIELD: source.name}
    if source.owner:
        own[OWNER_FIELD] = source.owner
    rule = next((each for each in source.rules if matches(each.pattern, path)), None)
    if rule is None:
        return Placement(
            source.collection,
            source.acl,
            {**source.metadata, **own},
            source.priority,
            source.on_removal,
        )
    if rule.is_excluded:
        return None
    return Placement(
        rule.collection or source.collection,
        rule.acl or source.acl,
        {**source.metadata, **own, **rule.metadata, SOURCE_FIELD: source.name},
        rule.priority or source.priority,
        rule.on_removal or source.on_removal,
    )


def document_id_of(source: Source, path: str) -> str:
    """Returns the identifier of an item's document: the same one in each synchronisation."""
    document_id = f"{source.name}/{path}"
    is_plain = document_id.strip() == document_id and document_id.isprintable()
    if len(document_id) <= MAX_ID_CHARACTERS and is_plain:
        return document_id
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{source.name}/sha256-{digest[:40]}"
