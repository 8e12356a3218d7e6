from cairn.ingestion.v1 import ingestion_service_pb2 as _ingestion_service_pb2
from cairn.types.v1 import vector_pb2 as _vector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutSourceRequest(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: _ingestion_service_pb2.Source
    def __init__(self, source: _Optional[_Union[_ingestion_service_pb2.Source, _Mapping]] = ...) -> None: ...

class PutSourceResponse(_message.Message):
    __slots__ = ("source", "is_created")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IS_CREATED_FIELD_NUMBER: _ClassVar[int]
    source: _ingestion_service_pb2.SourceEntry
    is_created: bool
    def __init__(self, source: _Optional[_Union[_ingestion_service_pb2.SourceEntry, _Mapping]] = ..., is_created: bool = ...) -> None: ...

class GetSourceRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetSourceResponse(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: _ingestion_service_pb2.SourceEntry
    def __init__(self, source: _Optional[_Union[_ingestion_service_pb2.SourceEntry, _Mapping]] = ...) -> None: ...

class ListSourcesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSourcesResponse(_message.Message):
    __slots__ = ("sources", "next_page_token")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[_ingestion_service_pb2.SourceEntry]
    next_page_token: str
    def __init__(self, sources: _Optional[_Iterable[_Union[_ingestion_service_pb2.SourceEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListSourceItemsRequest(_message.Message):
    __slots__ = ("name", "failed_only", "page_size", "page_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FAILED_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    failed_only: bool
    page_size: int
    page_token: str
    def __init__(self, name: _Optional[str] = ..., failed_only: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSourceItemsResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[_ingestion_service_pb2.SourceItem]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[_ingestion_service_pb2.SourceItem, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SyncSourceRequest(_message.Message):
    __slots__ = ("name", "paths", "is_full", "allow_empty")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    IS_FULL_FIELD_NUMBER: _ClassVar[int]
    ALLOW_EMPTY_FIELD_NUMBER: _ClassVar[int]
    name: str
    paths: _containers.RepeatedScalarFieldContainer[str]
    is_full: bool
    allow_empty: bool
    def __init__(self, name: _Optional[str] = ..., paths: _Optional[_Iterable[str]] = ..., is_full: bool = ..., allow_empty: bool = ...) -> None: ...

class SyncSourceResponse(_message.Message):
    __slots__ = ("sync_number", "status")
    SYNC_NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    sync_number: int
    status: _ingestion_service_pb2.SourceStatus
    def __init__(self, sync_number: _Optional[int] = ..., status: _Optional[_Union[_ingestion_service_pb2.SourceStatus, _Mapping]] = ...) -> None: ...

class DeleteSourceRequest(_message.Message):
    __slots__ = ("name", "keep_documents")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEEP_DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    keep_documents: bool
    def __init__(self, name: _Optional[str] = ..., keep_documents: bool = ...) -> None: ...

class DeleteSourceResponse(_message.Message):
    __slots__ = ("deleted_count",)
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    def __init__(self, deleted_count: _Optional[int] = ...) -> None: ...

class GetEnrichmentRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class GetEnrichmentResponse(_message.Message):
    __slots__ = ("settings", "is_own", "available_hooks")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_HOOKS_FIELD_NUMBER: _ClassVar[int]
    settings: _ingestion_service_pb2.EnrichmentSettings
    is_own: bool
    available_hooks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, settings: _Optional[_Union[_ingestion_service_pb2.EnrichmentSettings, _Mapping]] = ..., is_own: bool = ..., available_hooks: _Optional[_Iterable[str]] = ...) -> None: ...

class SetEnrichmentRequest(_message.Message):
    __slots__ = ("collection", "settings")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    settings: _ingestion_service_pb2.EnrichmentSettings
    def __init__(self, collection: _Optional[str] = ..., settings: _Optional[_Union[_ingestion_service_pb2.EnrichmentSettings, _Mapping]] = ...) -> None: ...

class SetEnrichmentResponse(_message.Message):
    __slots__ = ("settings", "is_own")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    IS_OWN_FIELD_NUMBER: _ClassVar[int]
    settings: _ingestion_service_pb2.EnrichmentSettings
    is_own: bool
    def __init__(self, settings: _Optional[_Union[_ingestion_service_pb2.EnrichmentSettings, _Mapping]] = ..., is_own: bool = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("texts", "model", "dimensions")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    model: str
    dimensions: int
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., dimensions: _Optional[int] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("vectors", "model", "token_count")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    vectors: _vector_pb2.VectorBatch
    model: str
    token_count: int
    def __init__(self, vectors: _Optional[_Union[_vector_pb2.VectorBatch, _Mapping]] = ..., model: _Optional[str] = ..., token_count: _Optional[int] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "kind")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...
