"""Salts keep scopes apart."""

from __future__ import annotations

from services.generation.cache_salt import cache_salt
from services.rpc.scope import Scope


def salt(tenant: str, *principals: str, secret: bytes = b"s") -> str:
    return cache_salt(secret, Scope(tenant, principals, "key:1"))


def test_equal_permissions_share_and_all_others_do_not() -> None:
    assert salt("a", "x", "y") == salt("a", "y", "x", "x")
    assert (
        len({salt("a", "x"), salt("b", "x"), salt("a", "y"), salt("a", "x", "y"), salt("a")}) == 5
    )
    assert salt("ab", "c") != salt("a", "bc")


def test_the_secret_decides() -> None:
    assert salt("a", "x", secret=b"1") != salt("a", "x", secret=b"2")


def test_the_actor_does_not_matter() -> None:
    assert cache_salt(b"s", Scope("a", ("x",), "key:1")) == cache_salt(
        b"s", Scope("a", ("x",), "key:2")
    )
