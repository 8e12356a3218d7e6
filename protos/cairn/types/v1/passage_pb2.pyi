from cairn.types.v1 import metadata_pb2 as _metadata_pb2
from cairn.types.v1 import vector_pb2 as _vector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Passage(_message.Message):
    __slots__ = ("chunk_id", "document_id", "document_version", "collection", "ordinal", "start", "end", "text", "title", "uri", "heading_path", "metadata", "page", "vector", "token_codes")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _metadata_pb2.MetadataValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_metadata_pb2.MetadataValue, _Mapping]] = ...) -> None: ...
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    ORDINAL_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    HEADING_PATH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    TOKEN_CODES_FIELD_NUMBER: _ClassVar[int]
    chunk_id: str
    document_id: str
    document_version: int
    collection: str
    ordinal: int
    start: int
    end: int
    text: str
    title: str
    uri: str
    heading_path: _containers.RepeatedScalarFieldContainer[str]
    metadata: _containers.MessageMap[str, _metadata_pb2.MetadataValue]
    page: int
    vector: _vector_pb2.Vector
    token_codes: bytes
    def __init__(self, chunk_id: _Optional[str] = ..., document_id: _Optional[str] = ..., document_version: _Optional[int] = ..., collection: _Optional[str] = ..., ordinal: _Optional[int] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., text: _Optional[str] = ..., title: _Optional[str] = ..., uri: _Optional[str] = ..., heading_path: _Optional[_Iterable[str]] = ..., metadata: _Optional[_Mapping[str, _metadata_pb2.MetadataValue]] = ..., page: _Optional[int] = ..., vector: _Optional[_Union[_vector_pb2.Vector, _Mapping]] = ..., token_codes: _Optional[bytes] = ...) -> None: ...

class PassageScores(_message.Message):
    __slots__ = ("dense", "keyword", "fused", "rerank", "final")
    DENSE_FIELD_NUMBER: _ClassVar[int]
    KEYWORD_FIELD_NUMBER: _ClassVar[int]
    FUSED_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    dense: float
    keyword: float
    fused: float
    rerank: float
    final: float
    def __init__(self, dense: _Optional[float] = ..., keyword: _Optional[float] = ..., fused: _Optional[float] = ..., rerank: _Optional[float] = ..., final: _Optional[float] = ...) -> None: ...

class ScoredPassage(_message.Message):
    __slots__ = ("passage", "scores")
    PASSAGE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    passage: Passage
    scores: PassageScores
    def __init__(self, passage: _Optional[_Union[Passage, _Mapping]] = ..., scores: _Optional[_Union[PassageScores, _Mapping]] = ...) -> None: ...
