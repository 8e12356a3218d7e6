from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TenantClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENANT_CLASS_UNSPECIFIED: _ClassVar[TenantClass]
    TENANT_CLASS_FREE: _ClassVar[TenantClass]
    TENANT_CLASS_STANDARD: _ClassVar[TenantClass]
    TENANT_CLASS_PREMIUM: _ClassVar[TenantClass]
TENANT_CLASS_UNSPECIFIED: TenantClass
TENANT_CLASS_FREE: TenantClass
TENANT_CLASS_STANDARD: TenantClass
TENANT_CLASS_PREMIUM: TenantClass

class Scope(_message.Message):
    __slots__ = ("tenant", "principals", "actor", "tenant_class")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    TENANT_CLASS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    principals: _containers.RepeatedScalarFieldContainer[str]
    actor: str
    tenant_class: TenantClass
    def __init__(self, tenant: _Optional[str] = ..., principals: _Optional[_Iterable[str]] = ..., actor: _Optional[str] = ..., tenant_class: _Optional[_Union[TenantClass, str]] = ...) -> None: ...
