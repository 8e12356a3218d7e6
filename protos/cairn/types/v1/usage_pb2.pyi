from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Usage(_message.Message):
    __slots__ = ("embedding_tokens", "rerank_tokens", "prompt_tokens", "cached_prompt_tokens", "completion_tokens", "vectors_scanned", "embedding_cache_hits")
    EMBEDDING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RERANK_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_SCANNED_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    embedding_tokens: int
    rerank_tokens: int
    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    vectors_scanned: int
    embedding_cache_hits: int
    def __init__(self, embedding_tokens: _Optional[int] = ..., rerank_tokens: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., vectors_scanned: _Optional[int] = ..., embedding_cache_hits: _Optional[int] = ...) -> None: ...
