import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VerifyAnswerRequest(_message.Message):
    __slots__ = ("answer", "sources")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    answer: str
    sources: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, answer: _Optional[str] = ..., sources: _Optional[_Iterable[str]] = ...) -> None: ...

class VerifyAnswerResponse(_message.Message):
    __slots__ = ("grounded", "sentences", "degraded", "trace_id")
    GROUNDED_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    grounded: float
    sentences: _containers.RepeatedCompositeFieldContainer[SentenceSupport]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    trace_id: str
    def __init__(self, grounded: _Optional[float] = ..., sentences: _Optional[_Iterable[_Union[SentenceSupport, _Mapping]]] = ..., degraded: _Optional[_Iterable[str]] = ..., trace_id: _Optional[str] = ...) -> None: ...

class SentenceSupport(_message.Message):
    __slots__ = ("start", "end", "support")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    support: float
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ..., support: _Optional[float] = ...) -> None: ...

class Calibration(_message.Message):
    __slots__ = ("collection", "min_support", "question_count", "off_topic_count", "false_refusal_rate", "off_topic_refusal_rate", "auroc", "updated_at")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    MIN_SUPPORT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_COUNT_FIELD_NUMBER: _ClassVar[int]
    OFF_TOPIC_COUNT_FIELD_NUMBER: _ClassVar[int]
    FALSE_REFUSAL_RATE_FIELD_NUMBER: _ClassVar[int]
    OFF_TOPIC_REFUSAL_RATE_FIELD_NUMBER: _ClassVar[int]
    AUROC_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    min_support: float
    question_count: int
    off_topic_count: int
    false_refusal_rate: float
    off_topic_refusal_rate: float
    auroc: float
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, collection: _Optional[str] = ..., min_support: _Optional[float] = ..., question_count: _Optional[int] = ..., off_topic_count: _Optional[int] = ..., false_refusal_rate: _Optional[float] = ..., off_topic_refusal_rate: _Optional[float] = ..., auroc: _Optional[float] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetCalibrationRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class GetCalibrationResponse(_message.Message):
    __slots__ = ("calibration",)
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    calibration: Calibration
    def __init__(self, calibration: _Optional[_Union[Calibration, _Mapping]] = ...) -> None: ...

class SetCalibrationRequest(_message.Message):
    __slots__ = ("collection", "calibration")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    calibration: Calibration
    def __init__(self, collection: _Optional[str] = ..., calibration: _Optional[_Union[Calibration, _Mapping]] = ...) -> None: ...

class SetCalibrationResponse(_message.Message):
    __slots__ = ("calibration",)
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    calibration: Calibration
    def __init__(self, calibration: _Optional[_Union[Calibration, _Mapping]] = ...) -> None: ...
