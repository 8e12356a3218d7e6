"""Tokens by which services know each other."""

from __future__ import annotations

import itertools

import pytest

from services.rpc.errors import Reason, StartupError, UnauthenticatedError
from services.rpc.preflight import signed_calls_check
from services.rpc.service_identity import (
    LIFE_SECONDS,
    MAX_LIFE_SECONDS,
    ServiceIdentity,
    audience_of,
    identity_of,
    is_caller_name,
)
from tests.kit.grpc_server import RpcTestSettings

SECRET, NEXT = "one secret, of thirty-two characters", "another one, of thirty-two characters"
EMBED = "cairn.embedding.v1.EmbeddingService/Embed"


class Clock:
    """Time that tests move."""

    def __init__(self) -> None:
        self.now = 1_767_225_600.0

    def __call__(self) -> float:
        """Returns the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def identity(clock: Clock, name: str = "gateway", secret: str = SECRET, *former: str):
    return ServiceIdentity(name, secret, former, now=clock)


def test_a_token_tells_who_made_it(clock: Clock) -> None:
    token = identity(clock).token_for(EMBED)
    assert identity(clock, "embedding").caller(token, "embedding") == "gateway"


def test_a_token_is_made_anew_at_half_its_life(clock: Clock) -> None:
    caller = identity(clock)
    first = caller.token_for(EMBED)
    clock.now += LIFE_SECONDS / 2 - 1
    assert caller.token_for("/" + EMBED) == first
    clock.now += 2
    assert caller.token_for(EMBED) != first
    assert identity(clock).caller(first, "embedding") == "gateway", "it still holds"


@pytest.mark.parametrize("method", ["grpc.health.v1.Health/Check", "cairn.gateway.v1.G/Query", "x"])
def test_health_and_the_gateway_ask_for_none(clock: Clock, method: str) -> None:
    assert audience_of(method) == ""
    assert identity(clock).token_for(method) is None


def refusal(checker: ServiceIdentity, token: str | None, audience: str = "embedding") -> str:
    with pytest.raises(UnauthenticatedError) as raised:
        checker.caller(token, audience)
    wanted = Reason.CREDENTIAL_INVALID if token else Reason.CREDENTIAL_MISSING
    assert raised.value.reason is wanted
    return raised.value.message


def test_what_is_no_token_of_ours_is_refused(clock: Clock) -> None:
    checker = identity(clock, "embedding")
    token = checker.sign("embedding", 60)
    changed = token.replace(".embedding.embedding.", ".operator.embedding.")
    assert changed != token
    for wrong in (
        changed,
        token[:-1],
        token + "=",
        "v1.a.b.c." + "x" * 400,
        "nonsense",
        "v2" + token[2:],
    ):
        refusal(checker, wrong)
    assert "service-token" in refusal(checker, None)
    assert "another secret" in refusal(checker, identity(clock, secret=NEXT).sign("embedding", 60))


def test_a_token_is_for_one_service(clock: Clock) -> None:
    token = identity(clock).sign("retrieval", 60)
    assert "for retrieval, not for embedding" in refusal(identity(clock), token)


def test_a_token_ends_also_where_it_was_checked_before(clock: Clock) -> None:
    checker = identity(clock)
    token = identity(clock).sign("embedding", 60)
    assert checker.caller(token, "embedding") == "gateway"
    clock.now += 60 + 61
    assert "ended" in refusal(checker, token)


def test_no_token_holds_for_long(clock: Clock) -> None:
    token = identity(clock).sign("embedding", MAX_LIFE_SECONDS + 120)
    assert "ended" in refusal(identity(clock), token)


def test_secrets_change_while_calls_go_on(clock: Clock) -> None:
    """First every service learns the new one, then each signs with it, then the old one goes."""
    stages = [(SECRET,), (SECRET, NEXT), (NEXT, SECRET), (NEXT,)]
    for before, after in itertools.pairwise(stages):
        for caller, callee in ((before, after), (after, before)):
            token = identity(clock, "gateway", *caller).token_for(EMBED)
            assert identity(clock, "embedding", *callee).caller(token, "embedding") == "gateway"
    assert "another secret" in refusal(identity(clock, "e", NEXT), identity(clock).token_for(EMBED))


def test_what_was_checked_is_bounded(clock: Clock) -> None:
    checker, caller = identity(clock), identity(clock)
    for seconds in range(1, 1_200):
        checker.caller(caller.sign("embedding", seconds), "embedding")
    assert len(checker._checked) == 1_000


def test_settings_make_an_identity_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert identity_of("gateway", RpcTestSettings()) is None
    monkeypatch.setenv("CAIRN_TEST_INTERNAL_SECRET", SECRET)
    monkeypatch.setenv("CAIRN_TEST_FORMER_INTERNAL_SECRETS", " ".join([NEXT.replace(" ", "-")] * 2))
    made = identity_of("gateway", RpcTestSettings())
    assert made is not None
    assert made.name == "gateway"


@pytest.mark.parametrize("name", ["INTERNAL_SECRET", "FORMER_INTERNAL_SECRETS"])
def test_a_short_secret_is_no_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CAIRN_TEST_INTERNAL_SECRET", SECRET)
    monkeypatch.setenv(f"CAIRN_TEST_{name}", "short")
    with pytest.raises(StartupError, match="CAIRN_TEST_INTERNAL_SECRET"):
        identity_of("gateway", RpcTestSettings())


@pytest.mark.parametrize(
    ("secret", "level"), [("", "warning"), ("short", "failure"), (SECRET, "ok")]
)
def test_the_preflight_tells_of_unsigned_calls(
    monkeypatch: pytest.MonkeyPatch, secret: str, level: str
) -> None:
    monkeypatch.setenv("CAIRN_TEST_INTERNAL_SECRET", secret)
    assert signed_calls_check(RpcTestSettings()).run().level == level


def test_names_of_callers() -> None:
    assert is_caller_name("gateway-2")
    assert not any(map(is_caller_name, ("", "Gateway", "a.b", "2", "a" * 64)))
