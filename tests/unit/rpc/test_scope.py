"""Scopes from and to their message."""

from __future__ import annotations

import pytest
from cairn.types.v1 import scope_pb2

from services.rpc.errors import InvalidArgumentError, PermissionDeniedError, Reason
from services.rpc.scope import Scope, TenantClass
from services.rpc.scope_proto import scope_from_proto, scope_to_proto

SCOPE = Scope("acme", ("everyone", "user:7"), "key:1", TenantClass.PREMIUM)


def test_scope_survives_the_wire() -> None:
    message = scope_pb2.Scope.FromString(scope_to_proto(SCOPE).SerializeToString())
    assert scope_from_proto(message) == SCOPE


def test_classes_are_numbered_as_in_the_contract() -> None:
    contract = {
        name.removeprefix("TENANT_CLASS_"): number for name, number in scope_pb2.TenantClass.items()
    }
    del contract["UNSPECIFIED"]
    assert {each.name: each.value for each in TenantClass} == contract


def test_without_a_tenant_nothing_is_allowed() -> None:
    with pytest.raises(PermissionDeniedError) as raised:
        scope_from_proto(scope_pb2.Scope(principals=["everyone"]))
    assert raised.value.reason is Reason.SCOPE_MISSING


def test_class_not_stated_is_standard_and_no_principals_are_none() -> None:
    scope = scope_from_proto(scope_pb2.Scope(tenant="acme"))
    assert scope == Scope("acme", (), "", TenantClass.STANDARD)


def test_repeated_principals_count_once() -> None:
    message = scope_pb2.Scope(tenant="acme", principals=["b", "a", "b"])
    assert scope_from_proto(message).principals == ("b", "a")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tenant": "x" * 129}, "scope.tenant"),
        ({"tenant": "a\nb"}, "scope.tenant"),
        ({"tenant": " "}, "scope.tenant"),
        ({"tenant": "acme "}, "scope.tenant"),
        ({"principals": [""]}, "scope.principals[0]"),
        ({"principals": ["ok", "x" * 257]}, "scope.principals[1]"),
        ({"principals": ["a\x00"]}, "scope.principals[0]"),
        ({"principals": ["p"] * 1001}, "scope.principals"),
        ({"actor": "x" * 257}, "scope.actor"),
        ({"actor": "a\tb"}, "scope.actor"),
    ],
)
def test_malformed_scope_is_refused_by_field(change: dict, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        scope_from_proto(scope_pb2.Scope(**{"tenant": "acme"} | change))
    assert raised.value.violations[0].field == field


def test_unknown_class_is_refused() -> None:
    message = scope_pb2.Scope.FromString(
        scope_pb2.Scope(tenant="acme").SerializeToString() + b"\x20\x63"
    )
    assert message.tenant_class == 99
    with pytest.raises(InvalidArgumentError, match="99 is not a known class"):
        scope_from_proto(message)
