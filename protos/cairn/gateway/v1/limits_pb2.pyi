from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LimitRule(_message.Message):
    __slots__ = ("tier", "tenant", "subject", "subject_id", "resource", "period", "amount", "burst", "mode", "updated_at", "updated_by")
    TIER_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_BY_FIELD_NUMBER: _ClassVar[int]
    tier: str
    tenant: str
    subject: str
    subject_id: str
    resource: str
    period: str
    amount: float
    burst: float
    mode: str
    updated_at: str
    updated_by: str
    def __init__(self, tier: _Optional[str] = ..., tenant: _Optional[str] = ..., subject: _Optional[str] = ..., subject_id: _Optional[str] = ..., resource: _Optional[str] = ..., period: _Optional[str] = ..., amount: _Optional[float] = ..., burst: _Optional[float] = ..., mode: _Optional[str] = ..., updated_at: _Optional[str] = ..., updated_by: _Optional[str] = ...) -> None: ...

class LimitState(_message.Message):
    __slots__ = ("rule", "source", "used", "remaining", "reset_seconds")
    RULE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    rule: LimitRule
    source: str
    used: float
    remaining: float
    reset_seconds: float
    def __init__(self, rule: _Optional[_Union[LimitRule, _Mapping]] = ..., source: _Optional[str] = ..., used: _Optional[float] = ..., remaining: _Optional[float] = ..., reset_seconds: _Optional[float] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ("tenant", "user", "key_id")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    user: str
    key_id: str
    def __init__(self, tenant: _Optional[str] = ..., user: _Optional[str] = ..., key_id: _Optional[str] = ...) -> None: ...

class GetLimitsResponse(_message.Message):
    __slots__ = ("tenant", "tier", "limits")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    tier: str
    limits: _containers.RepeatedCompositeFieldContainer[LimitState]
    def __init__(self, tenant: _Optional[str] = ..., tier: _Optional[str] = ..., limits: _Optional[_Iterable[_Union[LimitState, _Mapping]]] = ...) -> None: ...

class ListLimitRulesRequest(_message.Message):
    __slots__ = ("tenant",)
    TENANT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    def __init__(self, tenant: _Optional[str] = ...) -> None: ...

class ListLimitRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[LimitRule]
    def __init__(self, rules: _Optional[_Iterable[_Union[LimitRule, _Mapping]]] = ...) -> None: ...

class SetLimitRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: LimitRule
    def __init__(self, rule: _Optional[_Union[LimitRule, _Mapping]] = ...) -> None: ...

class SetLimitResponse(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: LimitRule
    def __init__(self, rule: _Optional[_Union[LimitRule, _Mapping]] = ...) -> None: ...

class DeleteLimitRequest(_message.Message):
    __slots__ = ("rule",)
    RULE_FIELD_NUMBER: _ClassVar[int]
    rule: LimitRule
    def __init__(self, rule: _Optional[_Union[LimitRule, _Mapping]] = ...) -> None: ...

class DeleteLimitResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
