"""Requests to domain values, checked field by field; nothing malformed gets past here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2, vector_pb2

from services.filters.proto import from_proto as filter_from_proto
from services.filters.proto import timestamp_from_proto, value_from_proto
from services.filters.values import FieldType, Value
from services.retrieval import checks, limits
from services.retrieval.collections import AclPolicy, CollectionSettings, IndexType
from services.retrieval.documents import Chunk, Document
from services.retrieval.keyword.analysis import LANGUAGES
from services.retrieval.queries import (
    FusionMethod,
    Query,
    RecallClass,
    SearchMode,
    SearchOptions,
)
from services.retrieval.vectors import decode, unit
from services.rpc.errors import InvalidArgumentError, Reason, UnimplementedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.filters.ast import Filter

RESERVED_FIELDS = frozenset({"document_id", "uri"})
"""Names that filters understand without any metadata."""
_BUILT = {0, 1, 2, 3}
_DEFAULT_LANGUAGE = "english"


def settings(message: pb.CollectionSettings) -> CollectionSettings:
    """Returns the settings of a collection to create."""
    path = "settings"
    if not 1 <= message.dimensions <= limits.MAX_DIMENSIONS:
        raise InvalidArgumentError.for_field(
            f"{path}.dimensions", f"must be 1 to {limits.MAX_DIMENSIONS}, not {message.dimensions}"
        )
    checks.size(len(message.fields), limits.MAX_FIELDS, f"{path}.fields", "fields")
    fields = {
        _field_name(name, f"{path}.fields"): _field_type(kind, f"{path}.fields[{name!r}]")
        for name, kind in message.fields.items()
        if kind != metadata_pb2.FIELD_TYPE_UNSPECIFIED
    }
    language = message.language or _DEFAULT_LANGUAGE
    if language not in LANGUAGES | {"none"}:
        known = ", ".join(sorted(LANGUAGES))
        raise InvalidArgumentError.for_field(
            f"{path}.language", f'must be "none" or one of {known}'
        )
    _check_tier(message.tier, f"{path}.tier")
    return CollectionSettings(
        dimensions=message.dimensions,
        embedding_model=checks.text(
            message.embedding_model, f"{path}.embedding_model", limits.MAX_MODEL_NAME_CHARACTERS
        ),
        embedding_model_revision=checks.text(
            message.embedding_model_revision,
            f"{path}.embedding_model_revision",
            limits.MAX_MODEL_NAME_CHARACTERS,
        ),
        fields=fields,
        index_type=_index_type(message.index_type, f"{path}.index_type"),
        acl_policy=checks.choice(
            AclPolicy, message.acl_policy, f"{path}.acl_policy", AclPolicy.EVERYONE_BY_DEFAULT
        ),
        language=language,
        description=checks.text(
            message.description, f"{path}.description", limits.MAX_DESCRIPTION_CHARACTERS
        ),
    )


def documents(messages: Sequence[pb.Document]) -> list[Document]:
    """Returns the documents of a write; vectors are held against the collection later."""
    if not messages:
        raise InvalidArgumentError.for_field("documents", "must hold at least one document")
    checks.size(len(messages), limits.MAX_DOCUMENTS_PER_BATCH, "documents", "documents")
    chunk_count = sum(len(message.chunks) for message in messages)
    checks.size(chunk_count, limits.MAX_CHUNKS_PER_BATCH, "documents", "chunks")
    found = [_document(message, f"documents[{i}]") for i, message in enumerate(messages)]
    checks.unique([each.document_id for each in found], "documents[{index}].document_id", "id")
    return found


def document_ids(ids: Sequence[str], path: str, *, is_required: bool = True) -> list[str]:
    """Returns document ids, each once, in their order."""
    if is_required and not ids:
        raise InvalidArgumentError.for_field(path, "must hold at least one id")
    checks.size(len(ids), limits.MAX_IDS, path, "ids")
    return [
        checks.text(each, f"{path}[{i}]", limits.MAX_DOCUMENT_ID_CHARACTERS, is_required=True)
        for i, each in enumerate(dict.fromkeys(ids))
    ]


def optional_filter(message: metadata_pb2.Filter, path: str, *, is_set: bool) -> Filter | None:
    """Returns the filter, or None when it is not set."""
    return filter_from_proto(message, path) if is_set else None


def vector(message: vector_pb2.Vector, path: str) -> NDArray[np.float32]:
    """Returns a vector as it was sent."""
    return decode(message.data, message.element_type, message.dimensions, message.scale, path)


def search_options(message: pb.SearchOptions, mode: SearchMode) -> SearchOptions:
    """Returns how to search, in a mode already decided."""
    path = "options"
    if message.min_seq < 0:
        raise InvalidArgumentError.for_field(f"{path}.min_seq", "must not be negative")
    fusion = message.fusion
    threshold = None
    if message.HasField("score_threshold"):
        threshold = checks.finite(message.score_threshold, f"{path}.score_threshold")
    return SearchOptions(
        mode=mode,
        top_k=checks.number(
            message.top_k, f"{path}.top_k", 1, limits.MAX_TOP_K, limits.DEFAULT_TOP_K
        ),
        filter=optional_filter(message.filter, f"{path}.filter", is_set=message.HasField("filter")),
        fusion=checks.choice(
            FusionMethod, fusion.method, f"{path}.fusion.method", FusionMethod.Z_SCORE
        ),
        dense_weight=checks.share(fusion.dense_weight, f"{path}.fusion.dense_weight")
        if fusion.HasField("dense_weight")
        else 0.5,
        candidates=checks.number(
            fusion.candidates,
            f"{path}.fusion.candidates",
            1,
            limits.MAX_CANDIDATES,
            limits.DEFAULT_CANDIDATES,
        ),
        recall=checks.choice(
            RecallClass, message.recall_class, f"{path}.recall_class", RecallClass.HIGH
        ),
        score_threshold=threshold,
        max_per_document=checks.number(
            message.max_per_document, f"{path}.max_per_document", 1, limits.MAX_TOP_K, 0
        ),
        diversity=checks.share(message.diversity.strength, f"{path}.diversity.strength"),
        min_seq=message.min_seq,
        include_metadata=message.include_metadata,
    )


def search_mode(messages: Sequence[pb.Query], options: pb.SearchOptions) -> SearchMode:
    """Returns the mode asked for, or that the first query calls for."""
    first = messages[0]
    has_text, has_vector = bool(first.text.strip()), first.HasField("vector")
    default = SearchMode.HYBRID
    if not (has_text and has_vector):
        default = SearchMode.DENSE if has_vector else SearchMode.KEYWORD
    return checks.choice(SearchMode, options.mode, "options.mode", default)


def query(message: pb.Query, mode: SearchMode, path: str) -> Query:
    """Returns what to look for, with what the mode needs."""
    texts: tuple[tuple[str, float], ...] = ()
    found = None
    if mode is not SearchMode.DENSE:
        texts = _texts(message, path)
    if mode is not SearchMode.KEYWORD:
        found = _mixed_vector(message, path)
    return Query(texts, found)


def page_size(value: int) -> int:
    """Returns the number of entries of a page."""
    return checks.number(value, "page_size", 1, limits.MAX_PAGE_SIZE, limits.DEFAULT_PAGE_SIZE)


def _texts(message: pb.Query, path: str) -> tuple[tuple[str, float], ...]:
    checks.size(len(message.text), limits.MAX_QUERY_CHARACTERS, f"{path}.text", "characters")
    if not message.text.strip():
        raise InvalidArgumentError.for_field(
            f"{path}.text", "is empty: keyword and hybrid search need words", Reason.EMPTY_TEXT
        )
    mixed = message.mixed_texts
    weights = _weights([each.weight for each in mixed], f"{path}.mixed_texts")
    for index, each in enumerate(mixed):
        at = f"{path}.mixed_texts[{index}].text"
        checks.size(len(each.text), limits.MAX_QUERY_CHARACTERS, at, "characters")
    pairs = zip((each.text for each in mixed), weights, strict=True)
    return ((message.text, 1.0 - sum(weights)), *pairs)


def _mixed_vector(message: pb.Query, path: str) -> NDArray[np.float32]:
    if not message.HasField("vector"):
        raise InvalidArgumentError.for_field(
            f"{path}.vector", "is missing: dense and hybrid search need one"
        )
    first = unit(vector(message.vector, f"{path}.vector"))
    mixed = message.mixed_vectors
    weights = _weights([each.weight for each in mixed], f"{path}.mixed_vectors")
    total = first * (1.0 - sum(weights))
    for index, (each, weight) in enumerate(zip(mixed, weights, strict=True)):
        at = f"{path}.mixed_vectors[{index}].vector"
        further = unit(vector(each.vector, at))
        if len(further) != len(first):
            raise InvalidArgumentError.for_field(
                at, f"has {len(further)} dimensions, not {len(first)}", Reason.DIMENSION_MISMATCH
            )
        total = total + weight * further
    return total.astype("float32")


def _weights(weights: Sequence[float], path: str) -> list[float]:
    checks.size(len(weights), limits.MAX_MIXED, path, "entries")
    for index, weight in enumerate(weights):
        checks.share(weight, f"{path}[{index}].weight")
    # Single precision on the wire: ten times 0.1 is a little more than 1.
    if sum(weights) > 1 + 1e-5:
        raise InvalidArgumentError.for_field(path, "the weights add up to more than 1")
    scale = min(1.0, 1.0 / sum(weights)) if any(weights) else 1.0
    return [weight * scale for weight in weights]


def _document(message: pb.Document, path: str) -> Document:
    title = checks.text(message.title, f"{path}.title", limits.MAX_TITLE_CHARACTERS)
    body = checks.text(message.text, f"{path}.text", limits.MAX_TEXT_CHARACTERS)
    expires = None
    if message.HasField("expires_at"):
        expires = timestamp_from_proto(message.expires_at, f"{path}.expires_at").micros
    chunks = tuple(
        _chunk(each, f"{path}.chunks[{i}]", len(body)) for i, each in enumerate(message.chunks)
    )
    checks.unique(
        [each.chunk_id for each in chunks], f"{path}.chunks[{{index}}].chunk_id", "chunk id"
    )
    return Document(
        document_id=checks.text(
            message.document_id,
            f"{path}.document_id",
            limits.MAX_DOCUMENT_ID_CHARACTERS,
            is_required=True,
        ),
        title=title,
        uri=checks.text(message.uri, f"{path}.uri", limits.MAX_URI_CHARACTERS),
        text=body,
        metadata=_metadata(message, f"{path}.metadata"),
        acl=_acl(message.acl, f"{path}.acl"),
        chunks=chunks,
        content_hash=checks.text(
            message.content_hash, f"{path}.content_hash", limits.MAX_CONTENT_HASH_CHARACTERS
        ),
        expires_micros=expires,
    )


def _chunk(message: pb.Chunk, path: str, text_length: int) -> Chunk:
    if not 0 <= message.start <= message.end <= text_length:
        raise InvalidArgumentError.for_field(
            f"{path}.end",
            f"the chunk [{message.start}, {message.end}) must lie in the document's text of "
            f"{text_length} characters",
        )
    if message.page < 0:
        raise InvalidArgumentError.for_field(f"{path}.page", "must not be negative")
    checks.size(len(message.heading_path), limits.MAX_HEADINGS, f"{path}.heading_path", "headings")
    codes_path = f"{path}.token_codes"
    checks.size(len(message.token_codes), limits.MAX_TOKEN_CODES_BYTES, codes_path, "bytes")
    return Chunk(
        chunk_id=checks.text(
            message.chunk_id,
            f"{path}.chunk_id",
            limits.MAX_CHUNK_ID_CHARACTERS,
            is_required=True,
        ),
        start=message.start,
        end=message.end,
        vector=vector(message.vector, f"{path}.vector").astype("<f4", copy=False).tobytes(),
        heading_path=tuple(
            checks.text(each, f"{path}.heading_path[{i}]", limits.MAX_HEADING_CHARACTERS)
            for i, each in enumerate(message.heading_path)
        ),
        page=message.page,
        token_codes=message.token_codes,
    )


def _metadata(message: pb.Document, path: str) -> dict[str, Value | None]:
    checks.size(len(message.metadata), limits.MAX_METADATA_FIELDS, path, "fields")
    found: dict[str, Value | None] = {}
    for name, each in message.metadata.items():
        at = f"{path}[{name!r}]"
        value = value_from_proto(each, at)
        if isinstance(value, str):
            checks.size(len(value), limits.MAX_KEYWORD_CHARACTERS, at, "characters")
        elif isinstance(value, frozenset):
            checks.size(len(value), limits.MAX_TAGS, at, "tags")
            longest = max(map(len, value), default=0)
            checks.size(longest, limits.MAX_KEYWORD_CHARACTERS, at, "characters in a tag")
        found[_field_name(name, path)] = value
    return found


def _acl(principals: Sequence[str], path: str) -> tuple[str, ...]:
    checks.size(len(principals), limits.MAX_ACL_ENTRIES, path, "principals")
    return tuple(
        checks.text(each, f"{path}[{i}]", limits.MAX_PRINCIPAL_CHARACTERS, is_required=True)
        for i, each in enumerate(dict.fromkeys(principals))
    )


def _field_name(name: str, path: str) -> str:
    at = f"{path}[{name[:40]!r}]"
    checks.text(name, at, limits.MAX_FIELD_NAME_CHARACTERS, is_required=True)
    if name in RESERVED_FIELDS:
        raise InvalidArgumentError.for_field(at, "is a built-in field: choose another name")
    return name


def _field_type(kind: int, path: str) -> FieldType:
    return checks.choice(FieldType, kind, path, FieldType.KEYWORD)


def _index_type(value: int, path: str) -> IndexType:
    if value not in pb.IndexType.values():
        raise InvalidArgumentError.for_field(path, f"{value} is not known")
    if value not in _BUILT:
        raise UnimplementedError(
            Reason.NOT_SUPPORTED,
            f"{path}: this version builds FLAT, HNSW and HNSW_SQ8, not {pb.IndexType.Name(value)}",
        )
    return IndexType(value)


def _check_tier(value: int, path: str) -> None:
    if value not in pb.Tier.values():
        raise InvalidArgumentError.for_field(path, f"{value} is not known")
    if value not in {pb.TIER_UNSPECIFIED, pb.TIER_HOT}:
        raise UnimplementedError(
            Reason.NOT_SUPPORTED, f"{path}: this version keeps indexes in memory (TIER_HOT)"
        )
