import datetime

from cairn.gateway.v1 import identity_pb2 as _identity_pb2
from cairn.gateway.v1 import limits_pb2 as _limits_pb2
from cairn.gateway.v1 import quality_pb2 as _quality_pb2
from cairn.gateway.v1 import sources_pb2 as _sources_pb2
from cairn.types.v1 import metadata_pb2 as _metadata_pb2
from cairn.types.v1 import passage_pb2 as _passage_pb2
from cairn.types.v1 import usage_pb2 as _usage_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SearchMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEARCH_MODE_UNSPECIFIED: _ClassVar[SearchMode]
    SEARCH_MODE_DENSE: _ClassVar[SearchMode]
    SEARCH_MODE_KEYWORD: _ClassVar[SearchMode]
    SEARCH_MODE_HYBRID: _ClassVar[SearchMode]

class Verification(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERIFICATION_UNSPECIFIED: _ClassVar[Verification]
    VERIFICATION_ANNOTATE: _ClassVar[Verification]
    VERIFICATION_DROP: _ClassVar[Verification]
    VERIFICATION_REFUSE: _ClassVar[Verification]

class Speaker(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPEAKER_UNSPECIFIED: _ClassVar[Speaker]
    SPEAKER_USER: _ClassVar[Speaker]
    SPEAKER_ASSISTANT: _ClassVar[Speaker]

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

class Rating(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RATING_UNSPECIFIED: _ClassVar[Rating]
    RATING_UP: _ClassVar[Rating]
    RATING_DOWN: _ClassVar[Rating]
SEARCH_MODE_UNSPECIFIED: SearchMode
SEARCH_MODE_DENSE: SearchMode
SEARCH_MODE_KEYWORD: SearchMode
SEARCH_MODE_HYBRID: SearchMode
VERIFICATION_UNSPECIFIED: Verification
VERIFICATION_ANNOTATE: Verification
VERIFICATION_DROP: Verification
VERIFICATION_REFUSE: Verification
SPEAKER_UNSPECIFIED: Speaker
SPEAKER_USER: Speaker
SPEAKER_ASSISTANT: Speaker
INDEX_TYPE_UNSPECIFIED: IndexType
INDEX_TYPE_FLAT: IndexType
INDEX_TYPE_HNSW: IndexType
INDEX_TYPE_HNSW_SQ8: IndexType
INDEX_TYPE_IVF_FLAT: IndexType
INDEX_TYPE_IVF_SQ8: IndexType
INDEX_TYPE_IVF_PQ: IndexType
INDEX_TYPE_RABITQ: IndexType
RATING_UNSPECIFIED: Rating
RATING_UP: Rating
RATING_DOWN: Rating

class Turn(_message.Message):
    __slots__ = ("speaker", "text")
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    speaker: Speaker
    text: str
    def __init__(self, speaker: _Optional[_Union[Speaker, str]] = ..., text: _Optional[str] = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ("query", "collection", "history", "filter", "top_k", "mode", "rerank", "model", "max_tokens", "temperature", "verification", "explain", "bypass_cache")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    BYPASS_CACHE_FIELD_NUMBER: _ClassVar[int]
    query: str
    collection: str
    history: _containers.RepeatedCompositeFieldContainer[Turn]
    filter: str
    top_k: int
    mode: SearchMode
    rerank: bool
    model: str
    max_tokens: int
    temperature: float
    verification: Verification
    explain: bool
    bypass_cache: bool
    def __init__(self, query: _Optional[str] = ..., collection: _Optional[str] = ..., history: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., filter: _Optional[str] = ..., top_k: _Optional[int] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., rerank: bool = ..., model: _Optional[str] = ..., max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., verification: _Optional[_Union[Verification, str]] = ..., explain: bool = ..., bypass_cache: bool = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("marker", "document_id", "document_version", "chunk_id", "start", "end", "text", "uri", "title", "support")
    MARKER_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    marker: int
    document_id: str
    document_version: int
    chunk_id: str
    start: int
    end: int
    text: str
    uri: str
    title: str
    support: float
    def __init__(self, marker: _Optional[int] = ..., document_id: _Optional[str] = ..., document_version: _Optional[int] = ..., chunk_id: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., text: _Optional[str] = ..., uri: _Optional[str] = ..., title: _Optional[str] = ..., support: _Optional[float] = ...) -> None: ...

class StageExplanation(_message.Message):
    __slots__ = ("stage", "candidates", "dropped", "notes")
    class DroppedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STAGE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    stage: str
    candidates: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    dropped: _containers.ScalarMap[str, str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, stage: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ..., dropped: _Optional[_Mapping[str, str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ("answer", "citations", "passages", "refused", "grounded", "degraded", "timings_ms", "usage", "cost", "trace_id", "cached", "engine", "model", "explanation", "finish_reason", "cached_age_seconds", "cached_similarity", "support", "sentences")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    GROUNDED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    CACHED_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CACHED_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    answer: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    refused: bool
    grounded: float
    degraded: _containers.RepeatedScalarFieldContainer[str]
    timings_ms: _containers.ScalarMap[str, float]
    usage: _usage_pb2.Usage
    cost: Cost
    trace_id: str
    cached: str
    engine: str
    model: str
    explanation: _containers.RepeatedCompositeFieldContainer[StageExplanation]
    finish_reason: str
    cached_age_seconds: float
    cached_similarity: float
    support: float
    sentences: _containers.RepeatedCompositeFieldContainer[_quality_pb2.SentenceSupport]
    def __init__(self, answer: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., passages: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ..., refused: bool = ..., grounded: _Optional[float] = ..., degraded: _Optional[_Iterable[str]] = ..., timings_ms: _Optional[_Mapping[str, float]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., trace_id: _Optional[str] = ..., cached: _Optional[str] = ..., engine: _Optional[str] = ..., model: _Optional[str] = ..., explanation: _Optional[_Iterable[_Union[StageExplanation, _Mapping]]] = ..., finish_reason: _Optional[str] = ..., cached_age_seconds: _Optional[float] = ..., cached_similarity: _Optional[float] = ..., support: _Optional[float] = ..., sentences: _Optional[_Iterable[_Union[_quality_pb2.SentenceSupport, _Mapping]]] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("amount", "currency")
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    amount: float
    currency: str
    def __init__(self, amount: _Optional[float] = ..., currency: _Optional[str] = ...) -> None: ...

class StreamQueryRequest(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: QueryRequest
    def __init__(self, query: _Optional[_Union[QueryRequest, _Mapping]] = ...) -> None: ...

class StreamQueryResponse(_message.Message):
    __slots__ = ("passages", "delta", "response")
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    passages: PassagesFound
    delta: AnswerDelta
    response: QueryResponse
    def __init__(self, passages: _Optional[_Union[PassagesFound, _Mapping]] = ..., delta: _Optional[_Union[AnswerDelta, _Mapping]] = ..., response: _Optional[_Union[QueryResponse, _Mapping]] = ...) -> None: ...

class PassagesFound(_message.Message):
    __slots__ = ("passages",)
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    def __init__(self, passages: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ...) -> None: ...

class AnswerDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("query", "collection", "filter", "top_k", "mode", "rerank", "max_per_document", "explain", "history")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    MAX_PER_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    query: str
    collection: str
    filter: str
    top_k: int
    mode: SearchMode
    rerank: bool
    max_per_document: int
    explain: bool
    history: _containers.RepeatedCompositeFieldContainer[Turn]
    def __init__(self, query: _Optional[str] = ..., collection: _Optional[str] = ..., filter: _Optional[str] = ..., top_k: _Optional[int] = ..., mode: _Optional[_Union[SearchMode, str]] = ..., rerank: bool = ..., max_per_document: _Optional[int] = ..., explain: bool = ..., history: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("passages", "degraded", "timings_ms", "usage", "trace_id", "explanation", "cached", "cached_age_seconds")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    CACHED_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    timings_ms: _containers.ScalarMap[str, float]
    usage: _usage_pb2.Usage
    trace_id: str
    explanation: _containers.RepeatedCompositeFieldContainer[StageExplanation]
    cached: str
    cached_age_seconds: float
    def __init__(self, passages: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ..., degraded: _Optional[_Iterable[str]] = ..., timings_ms: _Optional[_Mapping[str, float]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., trace_id: _Optional[str] = ..., explanation: _Optional[_Iterable[_Union[StageExplanation, _Mapping]]] = ..., cached: _Optional[str] = ..., cached_age_seconds: _Optional[float] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("collection", "positive_ids", "negative_ids", "filter", "top_k", "liked_ids", "disliked_ids", "history_weight", "diversity", "candidates")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_IDS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    LIKED_IDS_FIELD_NUMBER: _ClassVar[int]
    DISLIKED_IDS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    collection: str
    positive_ids: _containers.RepeatedScalarFieldContainer[str]
    negative_ids: _containers.RepeatedScalarFieldContainer[str]
    filter: str
    top_k: int
    liked_ids: _containers.RepeatedScalarFieldContainer[str]
    disliked_ids: _containers.RepeatedScalarFieldContainer[str]
    history_weight: float
    diversity: float
    candidates: int
    def __init__(self, collection: _Optional[str] = ..., positive_ids: _Optional[_Iterable[str]] = ..., negative_ids: _Optional[_Iterable[str]] = ..., filter: _Optional[str] = ..., top_k: _Optional[int] = ..., liked_ids: _Optional[_Iterable[str]] = ..., disliked_ids: _Optional[_Iterable[str]] = ..., history_weight: _Optional[float] = ..., diversity: _Optional[float] = ..., candidates: _Optional[int] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("passages", "trace_id", "cached", "cached_age_seconds", "degraded", "timings_ms")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    CACHED_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    passages: _containers.RepeatedCompositeFieldContainer[_passage_pb2.ScoredPassage]
    trace_id: str
    cached: str
    cached_age_seconds: float
    degraded: _containers.RepeatedScalarFieldContainer[str]
    timings_ms: _containers.ScalarMap[str, float]
    def __init__(self, passages: _Optional[_Iterable[_Union[_passage_pb2.ScoredPassage, _Mapping]]] = ..., trace_id: _Optional[str] = ..., cached: _Optional[str] = ..., cached_age_seconds: _Optional[float] = ..., degraded: _Optional[_Iterable[str]] = ..., timings_ms: _Optional[_Mapping[str, float]] = ...) -> None: ...

class DocumentInput(_message.Message):
    __slots__ = ("document_id", "uri", "title", "content_type", "file_name", "metadata", "acl", "idempotency_key", "content")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    FILE_NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    uri: str
    title: str
    content_type: str
    file_name: str
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    acl: _containers.RepeatedScalarFieldContainer[str]
    idempotency_key: str
    content: bytes
    def __init__(self, document_id: _Optional[str] = ..., uri: _Optional[str] = ..., title: _Optional[str] = ..., content_type: _Optional[str] = ..., file_name: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., acl: _Optional[_Iterable[str]] = ..., idempotency_key: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class SubmitDocumentsRequest(_message.Message):
    __slots__ = ("collection", "documents")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    documents: _containers.RepeatedCompositeFieldContainer[DocumentInput]
    def __init__(self, collection: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[DocumentInput, _Mapping]]] = ...) -> None: ...

class SubmitDocumentsResponse(_message.Message):
    __slots__ = ("submissions",)
    SUBMISSIONS_FIELD_NUMBER: _ClassVar[int]
    submissions: _containers.RepeatedCompositeFieldContainer[Submission]
    def __init__(self, submissions: _Optional[_Iterable[_Union[Submission, _Mapping]]] = ...) -> None: ...

class Submission(_message.Message):
    __slots__ = ("document", "is_duplicate", "is_unchanged", "error_reason", "error_message")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    IS_DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    IS_UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    document: Document
    is_duplicate: bool
    is_unchanged: bool
    error_reason: str
    error_message: str
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ..., is_duplicate: bool = ..., is_unchanged: bool = ..., error_reason: _Optional[str] = ..., error_message: _Optional[str] = ...) -> None: ...

class Document(_message.Message):
    __slots__ = ("document_id", "collection", "job_id", "state", "stage", "title", "uri", "content_type", "size_bytes", "chunk_count", "attempt_count", "failure_reason", "failure_message", "created_at", "updated_at", "version", "text", "metadata", "warnings", "failure_stage")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_REASON_FIELD_NUMBER: _ClassVar[int]
    FAILURE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_STAGE_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    collection: str
    job_id: str
    state: str
    stage: str
    title: str
    uri: str
    content_type: str
    size_bytes: int
    chunk_count: int
    attempt_count: int
    failure_reason: str
    failure_message: str
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    version: int
    text: str
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    failure_stage: str
    def __init__(self, document_id: _Optional[str] = ..., collection: _Optional[str] = ..., job_id: _Optional[str] = ..., state: _Optional[str] = ..., stage: _Optional[str] = ..., title: _Optional[str] = ..., uri: _Optional[str] = ..., content_type: _Optional[str] = ..., size_bytes: _Optional[int] = ..., chunk_count: _Optional[int] = ..., attempt_count: _Optional[int] = ..., failure_reason: _Optional[str] = ..., failure_message: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., text: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., warnings: _Optional[_Iterable[str]] = ..., failure_stage: _Optional[str] = ...) -> None: ...

class GetDocumentRequest(_message.Message):
    __slots__ = ("collection", "document_id", "omit_text")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    OMIT_TEXT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    document_id: str
    omit_text: bool
    def __init__(self, collection: _Optional[str] = ..., document_id: _Optional[str] = ..., omit_text: bool = ...) -> None: ...

class GetDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class ListDocumentsRequest(_message.Message):
    __slots__ = ("collection", "states", "page_size", "page_token")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collection: str
    states: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, collection: _Optional[str] = ..., states: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDocumentsResponse(_message.Message):
    __slots__ = ("documents", "next_page_token")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[Document]
    next_page_token: str
    def __init__(self, documents: _Optional[_Iterable[_Union[Document, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteDocumentRequest(_message.Message):
    __slots__ = ("collection", "document_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    document_id: str
    def __init__(self, collection: _Optional[str] = ..., document_id: _Optional[str] = ...) -> None: ...

class DeleteDocumentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RetryDocumentRequest(_message.Message):
    __slots__ = ("collection", "document_id")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    collection: str
    document_id: str
    def __init__(self, collection: _Optional[str] = ..., document_id: _Optional[str] = ...) -> None: ...

class RetryDocumentResponse(_message.Message):
    __slots__ = ("document",)
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    document: Document
    def __init__(self, document: _Optional[_Union[Document, _Mapping]] = ...) -> None: ...

class CollectionIndex(_message.Message):
    __slots__ = ("index_type", "bytes_per_vector", "recall_loss", "view_bytes", "disk_bytes", "segment_count")
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_VECTOR_FIELD_NUMBER: _ClassVar[int]
    RECALL_LOSS_FIELD_NUMBER: _ClassVar[int]
    VIEW_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    index_type: IndexType
    bytes_per_vector: float
    recall_loss: float
    view_bytes: int
    disk_bytes: int
    segment_count: int
    def __init__(self, index_type: _Optional[_Union[IndexType, str]] = ..., bytes_per_vector: _Optional[float] = ..., recall_loss: _Optional[float] = ..., view_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., segment_count: _Optional[int] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("name", "embedding_model", "dimensions", "fields", "is_acl_required", "language", "description", "created_at", "document_count", "chunk_count", "index_description", "index_type", "index")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.FieldType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.FieldType, str]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    IS_ACL_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    INDEX_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    embedding_model: str
    dimensions: int
    fields: _containers.ScalarMap[str, _metadata_pb2.FieldType]
    is_acl_required: bool
    language: str
    description: str
    created_at: _timestamp_pb2.Timestamp
    document_count: int
    chunk_count: int
    index_description: str
    index_type: IndexType
    index: CollectionIndex
    def __init__(self, name: _Optional[str] = ..., embedding_model: _Optional[str] = ..., dimensions: _Optional[int] = ..., fields: _Optional[_Mapping[str, _metadata_pb2.FieldType]] = ..., is_acl_required: bool = ..., language: _Optional[str] = ..., description: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., document_count: _Optional[int] = ..., chunk_count: _Optional[int] = ..., index_description: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., index: _Optional[_Union[CollectionIndex, _Mapping]] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("name", "embedding_model", "fields", "is_acl_required", "language", "description", "index_type")
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.FieldType
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.FieldType, str]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    IS_ACL_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    embedding_model: str
    fields: _containers.ScalarMap[str, _metadata_pb2.FieldType]
    is_acl_required: bool
    language: str
    description: str
    index_type: IndexType
    def __init__(self, name: _Optional[str] = ..., embedding_model: _Optional[str] = ..., fields: _Optional[_Mapping[str, _metadata_pb2.FieldType]] = ..., is_acl_required: bool = ..., language: _Optional[str] = ..., description: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ...) -> None: ...

class CreateCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class GetCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class UpdateCollectionRequest(_message.Message):
    __slots__ = ("name", "index_type", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    index_type: IndexType
    description: str
    def __init__(self, name: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ..., description: _Optional[str] = ...) -> None: ...

class UpdateCollectionResponse(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: Collection
    def __init__(self, collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class OptimizeCollectionRequest(_message.Message):
    __slots__ = ("name", "index_type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    index_type: IndexType
    def __init__(self, name: _Optional[str] = ..., index_type: _Optional[_Union[IndexType, str]] = ...) -> None: ...

class OptimizeCollectionResponse(_message.Message):
    __slots__ = ("fraction", "message", "collection")
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    fraction: float
    message: str
    collection: Collection
    def __init__(self, fraction: _Optional[float] = ..., message: _Optional[str] = ..., collection: _Optional[_Union[Collection, _Mapping]] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections", "next_page_token")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    next_page_token: str
    def __init__(self, collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteCollectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubmitFeedbackRequest(_message.Message):
    __slots__ = ("trace_id", "rating", "comment", "markers")
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    MARKERS_FIELD_NUMBER: _ClassVar[int]
    trace_id: str
    rating: Rating
    comment: str
    markers: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, trace_id: _Optional[str] = ..., rating: _Optional[_Union[Rating, str]] = ..., comment: _Optional[str] = ..., markers: _Optional[_Iterable[int]] = ...) -> None: ...

class SubmitFeedbackResponse(_message.Message):
    __slots__ = ("feedback_id",)
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    def __init__(self, feedback_id: _Optional[str] = ...) -> None: ...

class GetUsageRequest(_message.Message):
    __slots__ = ("from_day", "to_day", "group_by", "tenant", "user", "key_id", "collection", "operation")
    FROM_DAY_FIELD_NUMBER: _ClassVar[int]
    TO_DAY_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    from_day: str
    to_day: str
    group_by: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    user: str
    key_id: str
    collection: str
    operation: str
    def __init__(self, from_day: _Optional[str] = ..., to_day: _Optional[str] = ..., group_by: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ..., user: _Optional[str] = ..., key_id: _Optional[str] = ..., collection: _Optional[str] = ..., operation: _Optional[str] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("rows", "total")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    total: UsageRow
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., total: _Optional[_Union[UsageRow, _Mapping]] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("day", "operation", "request_count", "usage", "cost", "user", "collection", "tenant", "failed_count", "document_count", "byte_count", "vector_count", "cost_parts")
    DAY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTE_COUNT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    COST_PARTS_FIELD_NUMBER: _ClassVar[int]
    day: str
    operation: str
    request_count: int
    usage: _usage_pb2.Usage
    cost: Cost
    user: str
    collection: str
    tenant: str
    failed_count: int
    document_count: int
    byte_count: int
    vector_count: int
    cost_parts: CostParts
    def __init__(self, day: _Optional[str] = ..., operation: _Optional[str] = ..., request_count: _Optional[int] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., user: _Optional[str] = ..., collection: _Optional[str] = ..., tenant: _Optional[str] = ..., failed_count: _Optional[int] = ..., document_count: _Optional[int] = ..., byte_count: _Optional[int] = ..., vector_count: _Optional[int] = ..., cost_parts: _Optional[_Union[CostParts, _Mapping]] = ...) -> None: ...

class CostParts(_message.Message):
    __slots__ = ("embedding", "retrieval", "rerank", "generation")
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    RETRIEVAL_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    embedding: float
    retrieval: float
    rerank: float
    generation: float
    def __init__(self, embedding: _Optional[float] = ..., retrieval: _Optional[float] = ..., rerank: _Optional[float] = ..., generation: _Optional[float] = ...) -> None: ...

class ListUsageEventsRequest(_message.Message):
    __slots__ = ("usage", "page_size", "page_token")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    usage: GetUsageRequest
    page_size: int
    page_token: str
    def __init__(self, usage: _Optional[_Union[GetUsageRequest, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUsageEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[UsageEvent]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[UsageEvent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UsageEvent(_message.Message):
    __slots__ = ("event_id", "at", "row", "key_id", "outcome", "model", "trace_id", "is_estimated")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    IS_ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    at: _timestamp_pb2.Timestamp
    row: UsageRow
    key_id: str
    outcome: str
    model: str
    trace_id: str
    is_estimated: bool
    def __init__(self, event_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., row: _Optional[_Union[UsageRow, _Mapping]] = ..., key_id: _Optional[str] = ..., outcome: _Optional[str] = ..., model: _Optional[str] = ..., trace_id: _Optional[str] = ..., is_estimated: bool = ...) -> None: ...

class ListUsageAlertsRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ListUsageAlertsResponse(_message.Message):
    __slots__ = ("alerts",)
    ALERTS_FIELD_NUMBER: _ClassVar[int]
    alerts: _containers.RepeatedCompositeFieldContainer[UsageAlert]
    def __init__(self, alerts: _Optional[_Iterable[_Union[UsageAlert, _Mapping]]] = ...) -> None: ...

class UsageAlert(_message.Message):
    __slots__ = ("alert_id", "kind", "subject", "subject_id", "resource", "period", "window", "threshold", "used", "limit", "at")
    ALERT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    alert_id: str
    kind: str
    subject: str
    subject_id: str
    resource: str
    period: str
    window: str
    threshold: float
    used: float
    limit: float
    at: str
    def __init__(self, alert_id: _Optional[str] = ..., kind: _Optional[str] = ..., subject: _Optional[str] = ..., subject_id: _Optional[str] = ..., resource: _Optional[str] = ..., period: _Optional[str] = ..., window: _Optional[str] = ..., threshold: _Optional[float] = ..., used: _Optional[float] = ..., limit: _Optional[float] = ..., at: _Optional[str] = ...) -> None: ...

class UploadDocumentRequest(_message.Message):
    __slots__ = ("header", "content", "end")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    header: UploadHeader
    content: bytes
    end: UploadEnd
    def __init__(self, header: _Optional[_Union[UploadHeader, _Mapping]] = ..., content: _Optional[bytes] = ..., end: _Optional[_Union[UploadEnd, _Mapping]] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("collection", "document", "size_bytes", "sha256", "has_end")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    HAS_END_FIELD_NUMBER: _ClassVar[int]
    collection: str
    document: DocumentInput
    size_bytes: int
    sha256: str
    has_end: bool
    def __init__(self, collection: _Optional[str] = ..., document: _Optional[_Union[DocumentInput, _Mapping]] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., has_end: bool = ...) -> None: ...

class UploadEnd(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UploadDocumentResponse(_message.Message):
    __slots__ = ("submission",)
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    submission: Submission
    def __init__(self, submission: _Optional[_Union[Submission, _Mapping]] = ...) -> None: ...

class FetchDocumentsRequest(_message.Message):
    __slots__ = ("collection", "urls", "metadata", "acl")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ACL_FIELD_NUMBER: _ClassVar[int]
    collection: str
    urls: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    acl: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collection: _Optional[str] = ..., urls: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., acl: _Optional[_Iterable[str]] = ...) -> None: ...

class FetchDocumentsResponse(_message.Message):
    __slots__ = ("submissions",)
    SUBMISSIONS_FIELD_NUMBER: _ClassVar[int]
    submissions: _containers.RepeatedCompositeFieldContainer[Submission]
    def __init__(self, submissions: _Optional[_Iterable[_Union[Submission, _Mapping]]] = ...) -> None: ...

class DeleteDocumentsRequest(_message.Message):
    __slots__ = ("collection", "filter", "source", "owner")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    collection: str
    filter: str
    source: str
    owner: str
    def __init__(self, collection: _Optional[str] = ..., filter: _Optional[str] = ..., source: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class DeleteDocumentsResponse(_message.Message):
    __slots__ = ("deleted_count", "stopped_job_count", "remaining_count", "is_verified")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    STOPPED_JOB_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    stopped_job_count: int
    remaining_count: int
    is_verified: bool
    def __init__(self, deleted_count: _Optional[int] = ..., stopped_job_count: _Optional[int] = ..., remaining_count: _Optional[int] = ..., is_verified: bool = ...) -> None: ...
