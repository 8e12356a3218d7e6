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
    IVF_FLAT = 4
    IVF_SQ8 = 5
    IVF_PQ = 6
    RABITQ = 7


class Tier(enum.IntEnum):
    """Where a collection's index lives, numbered as in the contract."""

    AUTO = 0
    HOT = 1
    WARM = 2
    COLD = 3


class SchemaPolicy(enum.IntEnum):
    """What becomes of metadata fields that are not declared, numbered as in the contract."""

    INFERRED = 1
    DECLARED_ONLY = 2


@dataclass(frozen=True, slots=True)
class IndexParameters:
    """Parameters of a vector index; 0: as the service chooses."""

    links: int = 0
    """Links of a graph node (HNSW)."""
    build_candidates: int = 0
    """Candidates kept while a graph is built (HNSW)."""
    search_candidates: int = 0
    """Candidates kept while a graph is searched (HNSW)."""
    lists: int = 0
    """Inverted lists (IVF, RaBitQ)."""
    probes: int = 0
    """Lists looked into (IVF, RaBitQ)."""
    code_bytes: int = 0
    """Bytes of a product-quantised code (IVF_PQ)."""
    refine: int = 0
    """Candidates per result compared again with full vectors (quantised kinds)."""


@dataclass(frozen=True, slots=True)
class TierPolicy:
    """When an index leaves memory; None: as the service is set up."""

    warm_after_seconds: float | None = None
    cold_after_seconds: float | None = None


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
    index_parameters: IndexParameters = IndexParameters()
    acl_policy: AclPolicy = AclPolicy.EVERYONE_BY_DEFAULT
    language: str = "english"
    """Snowball language of the keyword index, or "none"."""
    description: str = ""
    tier: Tier = Tier.AUTO
    tier_policy: TierPolicy = TierPolicy()
    schema_policy: SchemaPolicy = SchemaPolicy.INFERRED


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
