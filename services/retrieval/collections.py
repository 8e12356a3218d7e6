"""Collections as the domain sees them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.filters.values import FieldType


class IndexType(enum.IntEnum):
    """Vector index, numbered as in the contract."""

    AUTO = 0
    FLAT = 1
    HNSW = 2
    HNSW_SQ8 = 3


class AclPolicy(enum.IntEnum):
    """What becomes of documents without an access list."""

    EVERYONE_BY_DEFAULT = 1
    REQUIRED = 2


@dataclass(frozen=True, slots=True)
class CollectionSettings:
    """What a collection is created with."""

    dimensions: int
    embedding_model: str = ""
    embedding_model_revision: str = ""
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    """Declared fields, and those inferred since."""
    index_type: IndexType = IndexType.AUTO
    acl_policy: AclPolicy = AclPolicy.EVERYONE_BY_DEFAULT
    language: str = "english"
    """Snowball language of the keyword index, or "none"."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection."""

    id: int
    """Never used again, not even by a collection of the same name."""
    tenant: str
    name: str
    settings: CollectionSettings
    created_micros: int
    seq: int
    """Sequence number of its newest committed write; rises over the whole tenant."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A second name for a collection."""

    name: str
    collection: str
