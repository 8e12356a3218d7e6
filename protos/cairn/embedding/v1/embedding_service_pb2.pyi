from cairn.types.v1 import scope_pb2 as _scope_pb2
from cairn.types.v1 import usage_pb2 as _usage_pb2
from cairn.types.v1 import vector_pb2 as _vector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InputKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INPUT_KIND_UNSPECIFIED: _ClassVar[InputKind]
    INPUT_KIND_QUERY: _ClassVar[InputKind]
    INPUT_KIND_DOCUMENT: _ClassVar[InputKind]

class Lane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_UNSPECIFIED: _ClassVar[Lane]
    LANE_INTERACTIVE: _ClassVar[Lane]
    LANE_BULK: _ClassVar[Lane]

class Truncation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUNCATION_UNSPECIFIED: _ClassVar[Truncation]
    TRUNCATION_END: _ClassVar[Truncation]
    TRUNCATION_REFUSE: _ClassVar[Truncation]

class RerankMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RERANK_METHOD_UNSPECIFIED: _ClassVar[RerankMethod]
    RERANK_METHOD_LATE_INTERACTION: _ClassVar[RerankMethod]
    RERANK_METHOD_CROSS_ENCODER: _ClassVar[RerankMethod]
INPUT_KIND_UNSPECIFIED: InputKind
INPUT_KIND_QUERY: InputKind
INPUT_KIND_DOCUMENT: InputKind
LANE_UNSPECIFIED: Lane
LANE_INTERACTIVE: Lane
LANE_BULK: Lane
TRUNCATION_UNSPECIFIED: Truncation
TRUNCATION_END: Truncation
TRUNCATION_REFUSE: Truncation
RERANK_METHOD_UNSPECIFIED: RerankMethod
RERANK_METHOD_LATE_INTERACTION: RerankMethod
RERANK_METHOD_CROSS_ENCODER: RerankMethod

class TokenIds(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class EmbedOptions(_message.Message):
    __slots__ = ("model", "kind", "lane", "truncation", "dimensions", "skip_normalization", "element_type")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    SKIP_NORMALIZATION_FIELD_NUMBER: _ClassVar[int]
    ELEMENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    model: str
    kind: InputKind
    lane: Lane
    truncation: Truncation
    dimensions: int
    skip_normalization: bool
    element_type: _vector_pb2.ElementType
    def __init__(self, model: _Optional[str] = ..., kind: _Optional[_Union[InputKind, str]] = ..., lane: _Optional[_Union[Lane, str]] = ..., truncation: _Optional[_Union[Truncation, str]] = ..., dimensions: _Optional[int] = ..., skip_normalization: bool = ..., element_type: _Optional[_Union[_vector_pb2.ElementType, str]] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("scope", "options", "texts", "token_ids", "include_token_codes")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    options: EmbedOptions
    texts: _containers.RepeatedScalarFieldContainer[str]
    token_ids: _containers.RepeatedCompositeFieldContainer[TokenIds]
    include_token_codes: bool
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., options: _Optional[_Union[EmbedOptions, _Mapping]] = ..., texts: _Optional[_Iterable[str]] = ..., token_ids: _Optional[_Iterable[_Union[TokenIds, _Mapping]]] = ..., include_token_codes: bool = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("vectors", "reports", "model", "model_revision", "usage", "timings", "token_codes")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_REVISION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    vectors: _vector_pb2.VectorBatch
    reports: _containers.RepeatedCompositeFieldContainer[TextReport]
    model: str
    model_revision: str
    usage: _usage_pb2.Usage
    timings: EmbedTimings
    token_codes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, vectors: _Optional[_Union[_vector_pb2.VectorBatch, _Mapping]] = ..., reports: _Optional[_Iterable[_Union[TextReport, _Mapping]]] = ..., model: _Optional[str] = ..., model_revision: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., timings: _Optional[_Union[EmbedTimings, _Mapping]] = ..., token_codes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class TextReport(_message.Message):
    __slots__ = ("token_count", "is_truncated", "is_cached", "error")
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    IS_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    IS_CACHED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    token_count: int
    is_truncated: bool
    is_cached: bool
    error: TextError
    def __init__(self, token_count: _Optional[int] = ..., is_truncated: bool = ..., is_cached: bool = ..., error: _Optional[_Union[TextError, _Mapping]] = ...) -> None: ...

class TextError(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EmbedTimings(_message.Message):
    __slots__ = ("tokenize_ms", "queue_ms", "inference_ms")
    TOKENIZE_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_MS_FIELD_NUMBER: _ClassVar[int]
    tokenize_ms: float
    queue_ms: float
    inference_ms: float
    def __init__(self, tokenize_ms: _Optional[float] = ..., queue_ms: _Optional[float] = ..., inference_ms: _Optional[float] = ...) -> None: ...

class EmbedStreamRequest(_message.Message):
    __slots__ = ("batch_id", "request")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    request: EmbedRequest
    def __init__(self, batch_id: _Optional[int] = ..., request: _Optional[_Union[EmbedRequest, _Mapping]] = ...) -> None: ...

class EmbedStreamResponse(_message.Message):
    __slots__ = ("batch_id", "response")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    batch_id: int
    response: EmbedResponse
    def __init__(self, batch_id: _Optional[int] = ..., response: _Optional[_Union[EmbedResponse, _Mapping]] = ...) -> None: ...

class EncodeTokensRequest(_message.Message):
    __slots__ = ("scope", "options", "texts", "pooling_factor")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    POOLING_FACTOR_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    options: EmbedOptions
    texts: _containers.RepeatedScalarFieldContainer[str]
    pooling_factor: float
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., options: _Optional[_Union[EmbedOptions, _Mapping]] = ..., texts: _Optional[_Iterable[str]] = ..., pooling_factor: _Optional[float] = ...) -> None: ...

class EncodeTokensResponse(_message.Message):
    __slots__ = ("texts", "model", "usage")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedCompositeFieldContainer[TokenVectors]
    model: str
    usage: _usage_pb2.Usage
    def __init__(self, texts: _Optional[_Iterable[_Union[TokenVectors, _Mapping]]] = ..., model: _Optional[str] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...

class TokenVectors(_message.Message):
    __slots__ = ("vectors", "starts", "ends", "is_truncated")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    IS_TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    vectors: _vector_pb2.VectorBatch
    starts: _containers.RepeatedScalarFieldContainer[int]
    ends: _containers.RepeatedScalarFieldContainer[int]
    is_truncated: bool
    def __init__(self, vectors: _Optional[_Union[_vector_pb2.VectorBatch, _Mapping]] = ..., starts: _Optional[_Iterable[int]] = ..., ends: _Optional[_Iterable[int]] = ..., is_truncated: bool = ...) -> None: ...

class RerankRequest(_message.Message):
    __slots__ = ("scope", "model", "method", "query", "passages", "lane", "query_word_weights", "passage_token_codes", "spans")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    PASSAGES_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    QUERY_WORD_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    PASSAGE_TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    model: str
    method: RerankMethod
    query: str
    passages: _containers.RepeatedScalarFieldContainer[str]
    lane: Lane
    query_word_weights: _containers.RepeatedScalarFieldContainer[float]
    passage_token_codes: _containers.RepeatedScalarFieldContainer[bytes]
    spans: _containers.RepeatedCompositeFieldContainer[PassageSpan]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., model: _Optional[str] = ..., method: _Optional[_Union[RerankMethod, str]] = ..., query: _Optional[str] = ..., passages: _Optional[_Iterable[str]] = ..., lane: _Optional[_Union[Lane, str]] = ..., query_word_weights: _Optional[_Iterable[float]] = ..., passage_token_codes: _Optional[_Iterable[bytes]] = ..., spans: _Optional[_Iterable[_Union[PassageSpan, _Mapping]]] = ...) -> None: ...

class PassageSpan(_message.Message):
    __slots__ = ("passage_index", "start", "end")
    PASSAGE_INDEX_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    passage_index: int
    start: int
    end: int
    def __init__(self, passage_index: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class RerankResponse(_message.Message):
    __slots__ = ("scores", "model", "method", "usage", "timings", "encoded_passages", "unusable_codes")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    ENCODED_PASSAGES_FIELD_NUMBER: _ClassVar[int]
    UNUSABLE_CODES_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    model: str
    method: RerankMethod
    usage: _usage_pb2.Usage
    timings: EmbedTimings
    encoded_passages: int
    unusable_codes: int
    def __init__(self, scores: _Optional[_Iterable[float]] = ..., model: _Optional[str] = ..., method: _Optional[_Union[RerankMethod, str]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., timings: _Optional[_Union[EmbedTimings, _Mapping]] = ..., encoded_passages: _Optional[int] = ..., unusable_codes: _Optional[int] = ...) -> None: ...

class CountTokensRequest(_message.Message):
    __slots__ = ("scope", "model", "texts")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ...) -> None: ...

class CountTokensResponse(_message.Message):
    __slots__ = ("token_counts", "model")
    TOKEN_COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    token_counts: _containers.RepeatedScalarFieldContainer[int]
    model: str
    def __init__(self, token_counts: _Optional[_Iterable[int]] = ..., model: _Optional[str] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "limits")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    limits: EmbeddingLimits
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ..., limits: _Optional[_Union[EmbeddingLimits, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "revision", "dimensions", "max_tokens", "supports_dimensions", "engine", "device", "precision", "is_default", "is_cross_encoder", "supports_token_codes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    IS_CROSS_ENCODER_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: str
    dimensions: int
    max_tokens: int
    supports_dimensions: bool
    engine: str
    device: str
    precision: str
    is_default: bool
    is_cross_encoder: bool
    supports_token_codes: bool
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[str] = ..., dimensions: _Optional[int] = ..., max_tokens: _Optional[int] = ..., supports_dimensions: bool = ..., engine: _Optional[str] = ..., device: _Optional[str] = ..., precision: _Optional[str] = ..., is_default: bool = ..., is_cross_encoder: bool = ..., supports_token_codes: bool = ...) -> None: ...

class EmbeddingLimits(_message.Message):
    __slots__ = ("max_texts", "max_text_characters", "max_queued_tokens")
    MAX_TEXTS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    max_texts: int
    max_text_characters: int
    max_queued_tokens: int
    def __init__(self, max_texts: _Optional[int] = ..., max_text_characters: _Optional[int] = ..., max_queued_tokens: _Optional[int] = ...) -> None: ...

class LoadModelRequest(_message.Message):
    __slots__ = ("scope", "name", "source", "make_default", "engine")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    MAKE_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    source: str
    make_default: bool
    engine: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ..., source: _Optional[str] = ..., make_default: bool = ..., engine: _Optional[str] = ...) -> None: ...

class LoadModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class UnloadModelRequest(_message.Message):
    __slots__ = ("scope", "name")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    scope: _scope_pb2.Scope
    name: str
    def __init__(self, scope: _Optional[_Union[_scope_pb2.Scope, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class UnloadModelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
