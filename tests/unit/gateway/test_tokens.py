"""Tokens of identity providers: what is accepted, what is refused, keys that change."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from services.gateway.identity import Caller, Operation, Role
from services.gateway.identity.desk import IdentityDesk
from services.gateway.identity.directory import RoleGrant
from services.gateway.store.directory import Directory
from services.gateway.store.schemas import ensure_identity_tables
from services.gateway.tokens.fetching import fetch_json
from services.gateway.tokens.issuers import read_issuers
from services.gateway.tokens.key_set import KeySet
from services.gateway.tokens.verifier import CACHE_SECONDS, LEEWAY_SECONDS, TokenVerifier
from services.rpc.errors import UnauthenticatedError, UnavailableError
from services.rpc.scope import Scope
from services.sql.engine import open_engine, sqlite_url
from services.sql.reader import Reader
from services.sql.writer import GroupWriter
from tests.kit.identity_provider import IdentityProvider, SigningKey, running_provider

HOME = Caller("home", Role.ADMIN, Scope("default", ("everyone",), "key:home"))
ACME = Caller("acme", Role.ADMIN, Scope("acme", ("everyone",), "key:acme"))


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[IdentityDesk]:
    engine = open_engine(sqlite_url(tmp_path / "gateway.db"))
    ensure_identity_tables(engine)
    async with GroupWriter(engine) as writer, Reader(engine, 1) as reader:
        desk = IdentityDesk(Directory(reader, writer), lambda: None)
        await desk.put_tenant(HOME, "acme")
        yield desk
    engine.dispose()


def verifier(people: IdentityDesk, provider: IdentityProvider, **more: Any) -> TokenVerifier:
    return TokenVerifier(read_issuers(provider.setting(**more)), people._directory, fetch_json)


async def test_a_token_is_its_user(people: IdentityDesk, provider: IdentityProvider) -> None:
    await people.put_group(ACME, "staff", grants=[RoleGrant("viewer")])
    await people.put_user(ACME, "ada", groups=["board"], grants=[RoleGrant("editor", ("notes",))])
    tokens = verifier(people, provider)
    caller = await tokens.accept(provider.token(groups=["staff"], name="Ada"))
    assert caller.scope.tenant == "acme"
    assert caller.scope.actor == caller.key_id == "user:ada"
    assert caller.scope.principals == ("everyone", "user:ada", "group:board", "group:staff")
    assert caller.role is Role.VIEWER
    assert caller.may(Operation.INGEST, "notes")
    assert not caller.may(Operation.INGEST, "other")
    stranger = await tokens.accept(provider.token("bob"))
    assert not stranger.may(Operation.QUERY, "default")


async def test_an_issuer_may_give_a_role_and_name_the_tenant(
    people: IdentityDesk, provider: IdentityProvider
) -> None:
    tokens = verifier(
        people,
        provider,
        tenant="",
        tenant_claim="org.id",
        tenants=["acme"],
        groups_claim="realm_access.roles",
        default_role="viewer",
    )
    claims: dict[str, Any] = {"org": {"id": "acme"}, "realm_access": {"roles": ["a", "b"]}}
    caller = await tokens.accept(provider.token(**claims))
    assert (caller.scope.tenant, caller.role) == ("acme", Role.VIEWER)
    assert {"group:a", "group:b"} < set(caller.scope.principals)
    for wrong in ({"org": {"id": "default"}}, {"org": {}}, {"org": "acme"}, {"org": {"id": "no"}}):
        with pytest.raises(UnauthenticatedError):
            await tokens.accept(provider.token(**{**claims, **wrong}))


@pytest.mark.parametrize("kind", ["EdDSA", "ES256", "RS256"])
async def test_each_algorithm_of_the_list(
    people: IdentityDesk, provider: IdentityProvider, kind: Any
) -> None:
    provider.keys = [SigningKey("k", kind)]
    assert (await verifier(people, provider).accept(provider.token())).user_id == "ada"
    others = [each for each in ("EdDSA", "ES256", "RS256") if each != kind]
    with pytest.raises(UnauthenticatedError, match="kind that is not accepted"):
        await verifier(people, provider, algorithms=others).accept(provider.token())


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "claims"),
        ({"iat": None}, "claims"),
        ({"sub": None}, "claims"),
        ({"sub": "a\nb"}, "user or tenant"),
        ({"sub": "x" * 300}, "user or tenant"),
        ({"aud": "other"}, "audience"),
        ({"aud": None}, "claims"),
        ({"iss": "https://other.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"nbf": 2**33}, "claims"),
        ({"groups": ["x"] * 300}, "groups"),
        ({"groups": [{"a": 1}]}, "groups"),
    ],
)
async def test_wrong_claims_are_refused(
    people: IdentityDesk, provider: IdentityProvider, claims: dict[str, Any], why: str
) -> None:
    tokens = verifier(people, provider)
    with pytest.raises(UnauthenticatedError, match=why):
        await tokens.accept(provider.token(**claims))


async def test_forged_tokens_are_refused(people: IdentityDesk, provider: IdentityProvider) -> None:
    tokens = verifier(people, provider, algorithms=["EdDSA", "RS256"])
    good = provider.token()
    head, body, signature = good.split(".")

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = jwt.decode(good, options={"verify_signature": False})
    public = json.dumps(provider.keys[0].public())
    forged = [
        f"{part({'alg': 'none', 'kid': 'first'})}.{body}.",
        f"{part({'alg': 'HS256', 'kid': 'first'})}.{body}.{signature}",
        jwt.encode(claims, public * 2, algorithm="HS256", headers={"kid": "first"}),
        provider.token(key=SigningKey("first")),
        provider.token(key=SigningKey("first", "RS256")),
        provider.token(headers={"kid": "unknown"}),
        f"{head}.{part({**claims, 'sub': 'root'})}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        "a.b.c",
        "..",
        good + "x" * 20_000,
    ]
    for token in forged:
        with pytest.raises(UnauthenticatedError):
            await tokens.accept(token)
    assert (await tokens.accept(good)).user_id == "ada"


async def test_weak_and_foreign_keys_are_passed_over(
    people: IdentityDesk, provider: IdentityProvider
) -> None:
    weak = SigningKey("weak", "RS256", bits=1024)
    provider.keys = [SigningKey("good", "RS256"), weak]
    tokens = verifier(people, provider)
    await tokens.accept(provider.token(key=provider.keys[0]))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = provider.token(key=weak)
    with pytest.raises(UnauthenticatedError):
        await tokens.accept(token)


async def test_a_new_key_is_fetched_when_it_is_first_used(
    people: IdentityDesk, provider: IdentityProvider
) -> None:
    tokens = verifier(people, provider)
    old = provider.token()
    await tokens.accept(old)
    provider.keys.append(SigningKey("second"))
    new = [provider.token(f"user {index}") for index in range(50)]
    callers = await asyncio.gather(*(tokens.accept(token) for token in new))
    assert len(callers) == 50
    assert provider.fetch_count == 2
    await tokens.accept(old)


async def test_keys_taken_back_and_providers_that_are_gone(provider: IdentityProvider) -> None:
    (issuer,) = read_issuers(provider.setting())
    clock = Clock()
    keys = KeySet(issuer, fetch_json, clock)
    assert await keys.find("first") is not None
    version = keys.version
    provider.is_down = True
    clock.now += 100
    with pytest.raises(UnavailableError):
        await keys.refresh()
    assert await keys.find("first") is not None
    clock.now += 100
    with pytest.raises(UnavailableError):
        await keys.find("second")
    provider.is_down = False
    provider.keys = [SigningKey("second")]
    clock.now += 100
    await keys.refresh()
    clock.now += 100
    assert await keys.find("first") is None
    assert await keys.find("second") is not None
    assert keys.version > version


async def test_unknown_keys_do_not_make_us_ask_again_and_again(
    provider: IdentityProvider,
) -> None:
    (issuer,) = read_issuers(provider.setting())
    clock = Clock()
    keys = KeySet(issuer, fetch_json, clock)
    await keys.refresh()
    clock.now += 10
    for _ in range(20):
        assert await keys.find("bogus") is None
    assert provider.fetch_count == 2


async def test_users_are_looked_up_again_soon(
    people: IdentityDesk, provider: IdentityProvider
) -> None:
    clock = Clock()
    issuers = read_issuers(provider.setting(default_role="viewer"))
    tokens = TokenVerifier(issuers, people._directory, fetch_json, clock)
    token = provider.token()
    await tokens.accept(token)
    await people.put_user(ACME, "ada", is_disabled=True)
    clock.now += CACHE_SECONDS + 0.1
    with pytest.raises(UnauthenticatedError, match="disabled"):
        await tokens.accept(token)
    assert CACHE_SECONDS < 5


async def test_a_known_token_ends_when_it_says(
    people: IdentityDesk, provider: IdentityProvider
) -> None:
    now = Clock()
    issuers = read_issuers(provider.setting())
    tokens = TokenVerifier(issuers, people._directory, fetch_json, now=now)
    token = provider.token()
    now.now = jwt.decode(token, options={"verify_signature": False})["exp"] + LEEWAY_SECONDS - 1
    await tokens.accept(token)
    now.now += 1
    with pytest.raises(UnauthenticatedError, match="expired"):
        await tokens.accept(token)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '[{"issuer": "https://a"}]',
        '[{"issuer": "http://a.example", "audience": "x", "tenant": "t"}]',
        '[{"issuer": "https://a", "audience": "x"}]',
        '[{"issuer": "https://a", "audience": "x", "tenant": "t", "tenant_claim": "c"}]',
        '[{"issuer": "https://a", "audience": "x", "tenant": "t", "algorithms": ["HS256"]}]',
        '[{"issuer": "https://a", "audience": "x", "tenant": "t", "surprise": 1}]',
        '[{"issuer": "https://u:p@a", "audience": "x", "tenant": "t"}]',
    ],
)
def test_issuers_that_cannot_be_trusted_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_issuers(text)
    assert read_issuers("") == ()


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now
