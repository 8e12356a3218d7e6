import datetime

from cairn.types.v1 import metadata_pb2 as _metadata_pb2
from cairn.types.v1 import passage_pb2 as _passage_pb2
from cairn.types.v1 import scope_pb2 as _scope_pb2
from cairn.types.v1 import usage_pb2 as _usage_pb2
from cairn.types.v1 import vector_pb2 as _vector_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IndexType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INDEX_TYPE_UNSPECIFIED: _ClassVar[IndexType]
    INDEX_TYPE_FLAT: _ClassVar[IndexType]
    INDEX_TYPE_HNSW: _ClassVar[IndexType]
    INDEX_TYPE_HNSW_SQ8: _ClassVar[IndexType]
    INDEX_TYPE_IVF_FLAT: _ClassVar[IndexType]
    INDEX_TYPE_IVF_SQ8: _ClassVar[IndexType]
    INDEX_TYPE_IVF_PQ: _ClassVar[IndexType]
    INDEX_TYPE_RABITQ: _ClassVar[IndexType]

class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TIER_UNSPECIFIED: _ClassVar[Tier]
    TIER_HOT: _ClassVar[Tier]
    TIER_WARM: _ClassVar[Tier]
    TIER_COLD: _ClassVar[Tier]

class SearchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_MODE_UNSPECIFIED: _ClassVar[SearchMode]
    SEARCH_MODE_DENSE: _ClassVar[SearchMode]
    SEARCH_MODE_KEYWORD: _ClassVar[SearchMode]
    SEARCH_MODE_HYBRID: _ClassVar[SearchMode]

class FusionMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUSION_METHOD_UNSPECIFIED: _ClassVar[FusionMethod]
    FUSION_METHOD_Z_SCORE: _ClassVar[FusionMethod]
    FUSION_METHOD_MIN_MAX: _ClassVar[FusionMethod]
    FUSION_METHOD_RRF: _ClassVar[FusionMethod]

class RecallClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECALL_CLASS_UNSPECIFIED: _ClassVar[RecallClass]
    RECALL_CLASS_EXACT: _ClassVar[RecallClass]
    RECALL_CLASS_HIGH: _ClassVar[RecallClass]
    RECALL_CLASS_FAST: _ClassVar[RecallClass]

class AclPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACL_POLICY_UNSPECIFIED: _ClassVar[AclPolicy]
    ACL_POLICY_EVERYONE_BY_DEFAULT: _ClassVar[AclPolicy]
    ACL_POLICY_REQUIRED: _ClassVar[AclPolicy]

class SchemaPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEMA_POLICY_UNSPECIFIED: _ClassVar[SchemaPolicy]
    SCHEMA_POLICY_INFERRED: _ClassVar[SchemaPolicy]
    SCHEMA_POLICY_DECLARED_ONLY: _ClassVar[SchemaPolicy]

class OptimizeStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTIMIZE_STAGE_UNSPECIFIED: _ClassVar[OptimizeStage]
    OPTIMIZE_STAGE_QUEUED: _ClassVar[OptimizeStage]
    OPTIMIZE_STAGE_GATHERING: _ClassVar[OptimizeStage]
    OPTIMIZE_STAGE_BUILDING: _ClassVar[OptimizeStage]
    OPTIMIZE_STAGE_MEASURING: _ClassVar[OptimizeStage]
    OPTIMIZE_STAGE_SWITCHING: _ClassVar[OptimizeStage]
    OPTIMIZE_STAGE_DONE: _ClassVar[OptimizeStage]

class ScrollUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCROLL_UNIT_UNSPECIFIED: _ClassVar[ScrollUnit]
    SCROLL_UNIT_DOCUMENT: _ClassVar[ScrollUnit]
    SCROLL_UNIT_CHUNK: _ClassVar[ScrollUnit]
INDEX_TYPE_UNSPECIFIED: IndexType
INDEX_TYPE_FLAT: IndexType
INDEX_TYPE_HNSW: IndexType
INDEX_TYPE_HNSW_SQ8: IndexType
INDEX_TYPE_IVF_FLAT: IndexType
INDEX_TYPE_IVF_SQ8: IndexType
INDEX_TYPE_IVF_PQ: IndexType
INDEX_TYPE_RABITQ: IndexType
TIER_UNSPECIFIED: Tier
TIER_HOT: Tier
TIER_WARM: Tier
TIER_COLD: Tier
SEARCH_MODE_UNSPECIFIED: SearchMode
SEARCH_MODE_DENSE: SearchMode
SEARCH_MODE_KEYWORD: SearchMode
SEARCH_MODE_HYBRID: SearchMode
FUSION_METHOD_UNSPECIFIED: FusionMethod
FUSION_METHOD_Z_SCORE: FusionMethod
FUSION_METHOD_MIN_MAX: FusionMethod
FUSION_METHOD_RRF: FusionMethod
RECALL_CLASS_UNSPECIFIED: RecallClass
RECALL_CLASS_EXACT: RecallClass
RECALL_CLASS_HIGH: RecallClass
RECALL_CLASS_FAST: RecallClass
ACL_POLICY_UNSPECIFIED: AclPolicy
ACL_POLICY_EVERYONE_BY_DEFAULT: AclPolicy
ACL_POLICY_REQUIRED: AclPolicy
SCHEMA_POLICY_UNSPECIFIED: SchemaPolicy
SCHEMA_POLICY_INFERRED: SchemaPolicy
SCHEMA_POLICY_DECLARED_ONLY: SchemaPolicy
OPTIMIZE_STAGE_UNSPECIFIED: OptimizeStage
OPTIMIZE_STAGE_QUEUED: OptimizeStage
OPTIMIZE_STAGE_GATHERING: OptimizeStage
OPTIMIZE_STAGE_BUILDING: OptimizeStage
OPTIMIZE_STAGE_MEASURING: OptimizeStage
OPTIMIZE_STAGE_SWITCHING: OptimizeStage
OPTIMIZE_STAGE_DONE: OptimizeStage
SCROLL_UNIT_UNSPECIFIED: ScrollUnit
SCROLL_UNIT_DOCUMENT: ScrollUnit
SCROLL_UNIT_CHUNK: ScrollUnit

class IndexParameters(_message.Message):
    __slots__ = ("links", "build_candidates", "search_candidates", "lists", "probes", "code_bytes", "refine")
    LINKS_FIELD_NUMBER: _ClassVar[int]
    BUILD_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SEARCH_CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    LISTS_FIELD_NUMBER: _ClassVar[int]
    PROBES_FIELD_NUMBER: _ClassVar[int]
    CODE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REFINE_FIELD_NUMBER: _ClassVar[int]
    links: int
    build_candidates: int
    search_candidates: int
    lists: int
    probes: int
    code_bytes: int
    refine: int
    def __init__(self, links: _Optional[int] = ..., build_candidates: _Optional[int] = ..., search_candidates: _Optional[int] = ..., lists: _Optional[int] = ..., probes: _Optional[int] = ..., code_bytes: _Optional[int] = ..., refine: _Optional[int] = ...) -> None: ...

class TierPolicy(_message.Message):
    __slots__ = ("warm_after", "cold_after")
    WARM_AFTER_FIELD_NUMBER: _ClassVar[int]
    COLD_AFTER_FIELD_NUMBER: _ClassVar[int]
    warm_after: _duration_pb2.Duration
    cold_after: _duration_pb2.Duration
    def __init__(self, warm_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cold_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CollectionSettings(_message.Message):
    __slots__ = ("dimensions", "embedding_model", "embedding_model_revision", "fields", "index_type", "acl_policy", "language", "tier", "description", "index_parameters", "tier_policy", "schema_policy")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.FieldType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.FieldType, str]] = ...) -> None: ...
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    ACL_POLICY_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INDEX_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    TIER_POLICY_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_POLICY_FIELD_NUMBER: _ClassVar[int]
    dimensions: int
    embedding_model: str
    embedding_model_revision: str
    fields: _containers.ScalarMap[str, _metadata_pb2.FieldType]
    index_type: IndexType
    acl_policy: AclPolicy
    language: str
    tier: Tier
    description: str
    index_parameters: IndexParameters
    tier_policy: TierPolicy
    schema_policy: SchemaPolicy
    def __init__(self, dimensions: _Optional[int] = ..., embedding_model: _Optional[str] = ..., embedding_model_revision: _Optional[str] = ..., fields: _Optional[_Mapping[str, _metadata_pb2.FieldType]] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., acl_policy: _Optional[_Union[AclPolicy, str]] = ..., language: _Optional[str] = ..., tier: _Optional[_Union[Tier, str]] = ..., description: _Optional[str] = ..., index_parameters: _Optional[_Union[IndexParameters, _Mapping]] = ..., tier_policy: _Optional[_Union[TierPolicy, _Mapping]] = ..., schema_policy: _Optional[_Union[SchemaPolicy, str]] = ...) -> None: ...

class CollectionStats(_message.Message):
    __slots__ = ("document_count", "chunk_count", "tombstone_count", "view_bytes", "committed_seq", "visible_seq", "index_description", "index_type", "bytes_per_vector", "recall_loss", "segment_count", "memtable_row_count", "tier", "disk_bytes", "snapshot_seq", "stored_bytes", "consistency", "indexes")
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    VIEW_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_SEQ_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_SEQ_FIELD_NUMBER: _ClassVar[int]
    INDEX_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_VECTOR_FIELD_NUMBER: _ClassVar[int]
    RECALL_LOSS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMTABLE_ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SEQ_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    INDEXES_FIELD_NUMBER: _ClassVar[int]
    document_count: int
    chunk_count: int
    tombstone_count: int
    view_bytes: int
    committed_seq: int
    visible_seq: int
    index_description: str
    index_type: IndexType
    bytes_per_vector: float
    recall_loss: float
    segment_count: int
    memtable_row_count: int
    tier: Tier
    disk_bytes: int
    snapshot_seq: int
    stored_bytes: int
    consistency: ConsistencyCheck
    indexes: _containers.RepeatedCompositeFieldContainer[IndexStats]
    def __init__(self, document_count: _Optional[int] = ..., chunk_count: _Optional[int] = ..., tombstone_count: _Optional[int] = ..., view_bytes: _Optional[int] = ..., committed_seq: _Optional[int] = ..., visible_seq: _Optional[int] = ..., index_description: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., bytes_per_vector: _Optional[float] = ..., recall_loss: _Optional[float] = ..., segment_count: _Optional[int] = ..., memtable_row_count: _Optional[int] = ..., tier: _Optional[_Union[Tier, str]] = ..., disk_bytes: _Optional[int] = ..., snapshot_seq: _Optional[int] = ..., stored_bytes: _Optional[int] = ..., consistency: _Optional[_Union[ConsistencyCheck, _Mapping]] = ..., indexes: _Optional[_Iterable[_Union[IndexStats, _Mapping]]] = ...) -> None: ...

class IndexStats(_message.Message):
    __slots__ = ("segment", "index_type", "parameters", "row_count", "tombstone_count", "bytes_per_vector", "recall_loss", "resident_bytes", "disk_bytes", "tier")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONE_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_VECTOR_FIELD_NUMBER: _ClassVar[int]
    RECALL_LOSS_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    segment: str
    index_type: IndexType
    parameters: IndexParameters
    row_count: int
    tombstone_count: int
    bytes_per_vector: float
    recall_loss: float
    resident_bytes: int
    disk_bytes: int
    tier: Tier
    def __init__(self, segment: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., parameters: _Optional[_Union[IndexParameters, _Mapping]] = ..., row_count: _Optional[int] = ..., tombstone_count: _Optional[int] = ..., bytes_per_vector: _Optional[float] = ..., recall_loss: _Optional[float] = ..., resident_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., tier: _Optional[_Union[Tier, str]] = ...) -> None: ...

class ConsistencyCheck(_message.Message):
    __slots__ = ("is_consistent", "seq", "stored_document_count", "view_document_count", "stored_hash", "view_hash", "checked_at", "stored_chunk_count", "view_chunk_count")
    IS_CONSISTENT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STORED_DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    VIEW_DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    STORED_HASH_FIELD_NUMBER: _ClassVar[int]
    VIEW_HASH_FIELD_NUMBER: _ClassVar[int]
    CHECKED_AT_FIELD_NUMBER: _ClassVar[int]
    STORED_CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    VIEW_CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    is_consistent: bool
    seq: int
    stored_document_count: int
    view_document_count: int
    stored_hash: str
    view_hash: str
    checked_at: _timestamp_pb2.Timestamp
    stored_chunk_count: int
    view_chunk_count: int
    def __init__(self, is_consistent: bool = ..., seq: _Optional[int] = ..., stored_document_count: _Optional[int] = ..., view_document_count: _Optional[int] = ..., stored_hash: _Optional[str] = ..., view_hash: _Optional[str] = ..., checked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stored_chunk_count: _Optional[int] = ..., view_chunk_count: _Optional[int] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("name", "settings", "created_at", "generation")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: CollectionSettings
    created_at: _timestamp_pb2.Timestamp
    generation: int
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[CollectionSettings, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generation: _Optional[int] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("scope", "name", "settings")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    settings: CollectionSettings
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., settings: _Optional[_Union[CollectionSettings, _Mapping]] = ...) -> None: ...

class CreateCollectionResponse(_message.Message):
    __slots__ = ("collection", "already_existed")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ALREADY_EXISTED_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    already_existed: bool
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., already_existed: bool = ...) -> None: ...

class GetCollectionRequest(_message.Message):
    __slots__ = ("scope", "name")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class GetCollectionResponse(_message.Message):
    __slots__ = ("collection", "stats")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    stats: CollectionStats
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., stats: _Optional[_Union[CollectionStats, _Mapping]] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ("scope", "page_size", "page_token")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    page_size: int
    page_token: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections", "next_page_token")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    next_page_token: str
    def __init__(self, collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateCollectionRequest(_message.Message):
    __slots__ = ("scope", "name", "settings", "update_mask")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    settings: CollectionSettings
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., settings: _Optional[_Union[CollectionSettings, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class UpdateCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class OptimizeCollectionRequest(_message.Message):
    __slots__ = ("scope", "name", "index_type", "index_parameters")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    INDEX_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    index_type: IndexType
    index_parameters: IndexParameters
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., index_parameters: _Optional[_Union[IndexParameters, _Mapping]] = ...) -> None: ...

class OptimizeCollectionResponse(_message.Message):
    __slots__ = ("stage", "fraction", "message", "stats")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    stage: OptimizeStage
    fraction: float
    message: str
    stats: CollectionStats
    def __init__(self, stage: _Optional[_Union[OptimizeStage, str]] = ..., fraction: _Optional[float] = ..., message: _Optional[str] = ..., stats: _Optional[_Union[CollectionStats, _Mapping]] = ...) -> None: ...

class CheckCollectionRequest(_message.Message):
    __slots__ = ("scope", "name")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class CheckCollectionResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: ConsistencyCheck
    def __init__(self, check: _Optional[_Union[ConsistencyCheck, _Mapping]] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("scope", "name")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Alias(_message.Message):
    __slots__ = ("name", "collection")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    collection: str
    def __init__(self, name: _Optional[str] = ..., collection: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("scope", "alias")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    alias: Alias
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., alias: _Optional[_Union[Alias, _Mapping]] = ...) -> None: ...

class SetAliasResponse(_message.Message):
    __slots__ = ("alias", "former_collection")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    FORMER_COLLECTION_FIELD_NUMBER: _ClassVar[int]
    alias: Alias
    former_collection: str
    def __init__(self, alias: _Optional[_Union[Alias, _Mapping]] = ..., former_collection: _Optional[str] = ...) -> None: ...

class DeleteAliasRequest(_message.Message):
    __slots__ = ("scope", "name")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class DeleteAliasResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListAliasesRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ...) -> None: ...

class ListAliasesResponse(_message.Message):
    __slots__ = ("aliases",)
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    aliases: _containers.RepeatedCompositeFieldContainer[Alias]
    def __init__(self, aliases: _Optional[_Iterable[_Union[Alias, _Mapping]]] = ...) -> None: ...

class GetPositionRequest(_message.Message):
    __slots__ = ("scope", "collection")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ...) -> None: ...

class GetPositionResponse(_message.Message):
    __slots__ = ("collection", "generation")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    generation: int
    def __init__(self, collection: _Optional[str] = ..., generation: _Optional[int] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("document_id", "title", "uri", "text", "metadata", "acl", "chunks", "content_hash", "version", "committed_at", "expires_at", "time_to_live")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_LIVE_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    title: str
    uri: str
    text: str
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    acl: _containers.RepeatedScalarFieldContainer[str]
    chunks: _containers.RepeatedCompositeFieldContainer[Chunk]
    content_hash: str
    version: int
    committed_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    time_to_live: _duration_pb2.Duration
    def __init__(self, document_id: _Optional[str] = ..., title: _Optional[str] = ..., uri: _Optional[str] = ..., text: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., acl: _Optional[_Iterable[str]] = ..., chunks: _Optional[_Iterable[_Union[Chunk, _Mapping]]] = ..., content_hash: _Optional[str] = ..., version: _Optional[int] = ..., committed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., time_to_live: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("chunk_id", "start", "end", "heading_path", "page", "vector", "token_codes")
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    HEADING_PATH_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    chunk_id: str
    start: int
    end: int
    heading_path: _containers.RepeatedScalarFieldContainer[str]
    page: int
    vector: _vector_pb2.Vector
    token_codes: bytes
    def __init__(self, chunk_id: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., heading_path: _Optional[_Iterable[str]] = ..., page: _Optional[int] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., token_codes: _Optional[bytes] = ...) -> None: ...

class UpsertRequest(_message.Message):
    __slots__ = ("scope", "collection", "documents", "expected_version", "expected_versions")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    expected_version: int
    expected_versions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., expected_version: _Optional[int] = ..., expected_versions: _Optional[_Iterable[int]] = ...) -> None: ...

class UpsertResponse(_message.Message):
    __slots__ = ("seq", "versions")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    versions: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, seq: _Optional[int] = ..., versions: _Optional[_Iterable[int]] = ...) -> None: ...

class UpsertStreamRequest(_message.Message):
    __slots__ = ("batch_id", "request")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    request: UpsertRequest
    def __init__(self, batch_id: _Optional[int] = ..., request: _Optional[_Union[UpsertRequest, _Mapping]] = ...) -> None: ...

class UpsertStreamResponse(_message.Message):
    __slots__ = ("batch_id", "response")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    response: UpsertResponse
    def __init__(self, batch_id: _Optional[int] = ..., response: _Optional[_Union[UpsertResponse, _Mapping]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("scope", "collection", "document_ids", "filter")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    document_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: _metadata_pb2.Filter
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., document_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("seq", "deleted_count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    deleted_count: int
    def __init__(self, seq: _Optional[int] = ..., deleted_count: _Optional[int] = ...) -> None: ...

class GetDocumentsRequest(_message.Message):
    __slots__ = ("scope", "collection", "document_ids", "include_chunks", "include_vectors", "omit_text", "include_token_codes")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    OMIT_TEXT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    document_ids: _containers.RepeatedScalarFieldContainer[str]
    include_chunks: bool
    include_vectors: bool
    omit_text: bool
    include_token_codes: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., document_ids: _Optional[_Iterable[str]] = ..., include_chunks: bool = ..., include_vectors: bool = ..., omit_text: bool = ..., include_token_codes: bool = ...) -> None: ...

class GetDocumentsResponse(_message.Message):
    __slots__ = ("documents",)
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class ScrollRequest(_message.Message):
    __slots__ = ("scope", "collection", "filter", "unit", "page_size", "page_token", "include_vectors", "omit_text")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    OMIT_TEXT_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    filter: _metadata_pb2.Filter
    unit: ScrollUnit
    page_size: int
    page_token: str
    include_vectors: bool
    omit_text: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ..., unit: _Optional[_Union[ScrollUnit, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., include_vectors: bool = ..., omit_text: bool = ...) -> None: ...

class ScrollResponse(_message.Message):
    __slots__ = ("documents", "passages", "next_page_token")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.Passage]
    next_page_token: str
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., passages: _Optional[_Iterable[_Union[_passage_pb2.Passage, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("scope", "collection", "filter")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    filter: _metadata_pb2.Filter
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("document_count", "chunk_count")
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    document_count: int
    chunk_count: int
    def __init__(self, document_count: _Optional[int] = ..., chunk_count: _Optional[int] = ...) -> None: ...

class FacetRequest(_message.Message):
    __slots__ = ("scope", "collection", "field", "filter", "limit")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    field: str
    filter: _metadata_pb2.Filter
    limit: int
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., field: _Optional[str] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class FacetResponse(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[FacetValue]
    def __init__(self, values: _Optional[_Iterable[_Union[FacetValue, _Mapping]]] = ...) -> None: ...

class FacetValue(_message.Message):
    __slots__ = ("value", "document_count")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    value: _metadata_pb2.MetadataValue
    document_count: int
    def __init__(self, value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ..., document_count: _Optional[int] = ...) -> None: ...

class Fusion(_message.Message):
    __slots__ = ("method", "dense_weight", "candidates", "rank_constant")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DENSE_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    RANK_CONSTANT_FIELD_NUMBER: _ClassVar[int]
    method: FusionMethod
    dense_weight: float
    candidates: int
    rank_constant: int
    def __init__(self, method: _Optional[_Union[FusionMethod, str]] = ..., dense_weight: _Optional[float] = ..., candidates: _Optional[int] = ..., rank_constant: _Optional[int] = ...) -> None: ...

class Diversity(_message.Message):
    __slots__ = ("strength",)
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    strength: float
    def __init__(self, strength: _Optional[float] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("text", "vector", "mixed_vectors", "mixed_texts")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    MIXED_VECTORS_FIELD_NUMBER: _ClassVar[int]
    MIXED_TEXTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    vector: _vector_pb2.Vector
    mixed_vectors: _containers.RepeatedCompositeFieldContainer[WeightedVector]
    mixed_texts: _containers.RepeatedCompositeFieldContainer[WeightedText]
    def __init__(self, text: _Optional[str] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., mixed_vectors: _Optional[_Iterable[_Union[WeightedVector, _Mapping]]] = ..., mixed_texts: _Optional[_Iterable[_Union[WeightedText, _Mapping]]] = ...) -> None: ...

class WeightedVector(_message.Message):
    __slots__ = ("vector", "weight")
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    vector: _vector_pb2.Vector
    weight: float
    def __init__(self, vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., weight: _Optional[float] = ...) -> None: ...

class WeightedText(_message.Message):
    __slots__ = ("text", "weight")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    text: str
    weight: float
    def __init__(self, text: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class SearchOptions(_message.Message):
    __slots__ = ("top_k", "mode", "filter", "fusion", "recall_class", "score_threshold", "max_per_document", "diversity", "min_seq", "include_metadata", "explain", "embedding_model", "omit_text", "include_vectors", "token_codes_top_k", "group_size")
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    RECALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    SCORE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MAX_PER_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    MIN_SEQ_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_METADATA_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    OMIT_TEXT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_CODES_TOP_K_FIELD_NUMBER: _ClassVar[int]
    GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    top_k: int
    mode: SearchMode
    filter: _metadata_pb2.Filter
    fusion: Fusion
    recall_class: RecallClass
    score_threshold: float
    max_per_document: int
    diversity: Diversity
    min_seq: int
    include_metadata: bool
    explain: bool
    embedding_model: str
    omit_text: bool
    include_vectors: bool
    token_codes_top_k: int
    group_size: int
    def __init__(self, top_k: _Optional[int] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ..., fusion: _Optional[_Union[Fusion, _Mapping]] = ..., recall_class: _Optional[_Union[RecallClass, str]] = ..., score_threshold: _Optional[float] = ..., max_per_document: _Optional[int] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., min_seq: _Optional[int] = ..., include_metadata: bool = ..., explain: bool = ..., embedding_model: _Optional[str] = ..., omit_text: bool = ..., include_vectors: bool = ..., token_codes_top_k: _Optional[int] = ..., group_size: _Optional[int] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("scope", "collection", "query", "options")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    query: Query
    options: SearchOptions
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., query: _Optional[_Union[Query, _Mapping]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("passages", "explanation", "degraded", "usage", "generation", "visible_seq", "groups", "is_current", "valid_until")
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_SEQ_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    IS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    explanation: SearchExplanation
    degraded: _containers.RepeatedScalarFieldContainer[str]
    usage: _usage_pb2.Usage
    generation: int
    visible_seq: int
    groups: _containers.RepeatedCompositeFieldContainer[DocumentGroup]
    is_current: bool
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, passages: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ..., explanation: _Optional[_Union[SearchExplanation, _Mapping]] = ..., degraded: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., generation: _Optional[int] = ..., visible_seq: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[DocumentGroup, _Mapping]]] = ..., is_current: bool = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DocumentGroup(_message.Message):
    __slots__ = ("document_id", "first_passage", "passage_count")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_PASSAGE_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    first_passage: int
    passage_count: int
    def __init__(self, document_id: _Optional[str] = ..., first_passage: _Optional[int] = ..., passage_count: _Optional[int] = ...) -> None: ...

class SearchStreamRequest(_message.Message):
    __slots__ = ("search_id", "request")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    search_id: int
    request: SearchRequest
    def __init__(self, search_id: _Optional[int] = ..., request: _Optional[_Union[SearchRequest, _Mapping]] = ...) -> None: ...

class SearchStreamResponse(_message.Message):
    __slots__ = ("search_id", "response")
    SEARCH_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    search_id: int
    response: SearchResponse
    def __init__(self, search_id: _Optional[int] = ..., response: _Optional[_Union[SearchResponse, _Mapping]] = ...) -> None: ...

class SearchExplanation(_message.Message):
    __slots__ = ("steps", "allowed_count", "dropped")
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[PlanStep]
    allowed_count: int
    dropped: _containers.ScalarMap[str, int]
    def __init__(self, steps: _Optional[_Iterable[_Union[PlanStep, _Mapping]]] = ..., allowed_count: _Optional[int] = ..., dropped: _Optional[_Mapping[str, int]] = ...) -> None: ...

class PlanStep(_message.Message):
    __slots__ = ("segment", "plan", "why", "row_count", "allowed_count", "duration_ms", "tier", "compared_count", "recall_class", "index_type", "load_ms")
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    COMPARED_COUNT_FIELD_NUMBER: _ClassVar[int]
    RECALL_CLASS_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    segment: str
    plan: str
    why: str
    row_count: int
    allowed_count: int
    duration_ms: float
    tier: Tier
    compared_count: int
    recall_class: RecallClass
    index_type: IndexType
    load_ms: float
    def __init__(self, segment: _Optional[str] = ..., plan: _Optional[str] = ..., why: _Optional[str] = ..., row_count: _Optional[int] = ..., allowed_count: _Optional[int] = ..., duration_ms: _Optional[float] = ..., tier: _Optional[_Union[Tier, str]] = ..., compared_count: _Optional[int] = ..., recall_class: _Optional[_Union[RecallClass, str]] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., load_ms: _Optional[float] = ...) -> None: ...

class BatchSearchRequest(_message.Message):
    __slots__ = ("scope", "collection", "queries", "options")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    queries: _containers.RepeatedCompositeFieldContainer[Query]
    options: SearchOptions
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., queries: _Optional[_Iterable[_Union[Query, _Mapping]]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ...) -> None: ...

class BatchSearchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[SearchResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[SearchResponse, _Mapping]]] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("scope", "collection", "positive_ids", "negative_ids", "positive_vectors", "options", "negative_vectors", "history")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_IDS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_IDS_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    positive_ids: _containers.RepeatedScalarFieldContainer[str]
    negative_ids: _containers.RepeatedScalarFieldContainer[str]
    positive_vectors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.Vector]
    options: SearchOptions
    negative_vectors: _containers.RepeatedCompositeFieldContainer[_vector_pb2.Vector]
    history: History
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., positive_ids: _Optional[_Iterable[str]] = ..., negative_ids: _Optional[_Iterable[str]] = ..., positive_vectors: _Optional[_Iterable[_Union[_vector_pb2.Vector, _Mapping]]] = ..., options: _Optional[_Union[SearchOptions, _Mapping]] = ..., negative_vectors: _Optional[_Iterable[_Union[_vector_pb2.Vector, _Mapping]]] = ..., history: _Optional[_Union[History, _Mapping]] = ...) -> None: ...

class History(_message.Message):
    __slots__ = ("liked_ids", "disliked_ids", "weight", "candidates")
    LIKED_IDS_FIELD_NUMBER: _ClassVar[int]
    DISLIKED_IDS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    liked_ids: _containers.RepeatedScalarFieldContainer[str]
    disliked_ids: _containers.RepeatedScalarFieldContainer[str]
    weight: float
    candidates: int
    def __init__(self, liked_ids: _Optional[_Iterable[str]] = ..., disliked_ids: _Optional[_Iterable[str]] = ..., weight: _Optional[float] = ..., candidates: _Optional[int] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("passages", "explanation", "usage", "generation", "is_current", "valid_until")
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    IS_CURRENT_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    explanation: SearchExplanation
    usage: _usage_pb2.Usage
    generation: int
    is_current: bool
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, passages: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ..., explanation: _Optional[_Union[SearchExplanation, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., generation: _Optional[int] = ..., is_current: bool = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("snapshot_id", "collection", "seq", "created_at", "size_bytes", "checksum", "retention")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHECKSUM_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    collection: str
    seq: int
    created_at: _timestamp_pb2.Timestamp
    size_bytes: int
    checksum: str
    retention: _duration_pb2.Duration
    def __init__(self, snapshot_id: _Optional[str] = ..., collection: _Optional[str] = ..., seq: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., size_bytes: _Optional[int] = ..., checksum: _Optional[str] = ..., retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateSnapshotRequest(_message.Message):
    __slots__ = ("scope", "collection", "retention")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RETENTION_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    retention: _duration_pb2.Duration
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., retention: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class CreateSnapshotResponse(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: Snapshot
    def __init__(self, snapshot: _Optional[_Union[Snapshot, _Mapping]] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("scope", "collection")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ...) -> None: ...

class RestoreSnapshotRequest(_message.Message):
    __slots__ = ("scope", "collection", "snapshot_id")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    snapshot_id: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., snapshot_id: _Optional[str] = ...) -> None: ...

class RestoreSnapshotResponse(_message.Message):
    __slots__ = ("collection", "replayed_delete_count")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_DELETE_COUNT_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    replayed_delete_count: int
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., replayed_delete_count: _Optional[int] = ...) -> None: ...

class DeleteSnapshotRequest(_message.Message):
    __slots__ = ("scope", "collection", "snapshot_id")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    snapshot_id: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., snapshot_id: _Optional[str] = ...) -> None: ...

class DeleteSnapshotResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExportCollectionRequest(_message.Message):
    __slots__ = ("scope", "collection", "filter", "resume_token", "batch_size", "all_documents")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    ALL_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    filter: _metadata_pb2.Filter
    resume_token: str
    batch_size: int
    all_documents: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., filter: _Optional[_Union[_metadata_pb2.Filter, _Mapping]] = ..., resume_token: _Optional[str] = ..., batch_size: _Optional[int] = ..., all_documents: bool = ...) -> None: ...

class ExportCollectionResponse(_message.Message):
    __slots__ = ("collection", "documents", "resume_token", "is_last")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    resume_token: str
    is_last: bool
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ..., documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., resume_token: _Optional[str] = ..., is_last: bool = ...) -> None: ...

class ImportCollectionRequest(_message.Message):
    __slots__ = ("scope", "collection", "settings", "documents")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    collection: str
    settings: CollectionSettings
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., collection: _Optional[str] = ..., settings: _Optional[_Union[CollectionSettings, _Mapping]] = ..., documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ...) -> None: ...

class ImportCollectionResponse(_message.Message):
    __slots__ = ("seq", "document_count")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    seq: int
    document_count: int
    def __init__(self, seq: _Optional[int] = ..., document_count: _Optional[int] = ...) -> None: ...

class Quota(_message.Message):
    __slots__ = ("max_vectors", "max_bytes")
    MAX_VECTORS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_vectors: int
    max_bytes: int
    def __init__(self, max_vectors: _Optional[int] = ..., max_bytes: _Optional[int] = ...) -> None: ...

class GetQuotaRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ...) -> None: ...

class GetQuotaResponse(_message.Message):
    __slots__ = ("quota", "vector_count", "stored_bytes")
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    STORED_BYTES_FIELD_NUMBER: _ClassVar[int]
    quota: Quota
    vector_count: int
    stored_bytes: int
    def __init__(self, quota: _Optional[_Union[Quota, _Mapping]] = ..., vector_count: _Optional[int] = ..., stored_bytes: _Optional[int] = ...) -> None: ...

class SetQuotaRequest(_message.Message):
    __slots__ = ("scope", "quota")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    quota: Quota
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...

class SetQuotaResponse(_message.Message):
    __slots__ = ("quota",)
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    quota: Quota
    def __init__(self, quota: _Optional[_Union[Quota, _Mapping]] = ...) -> None: ...
