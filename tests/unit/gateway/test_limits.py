"""Which limits hold, what they say, and how one process counts alone."""

from __future__ import annotations

import pytest

from services.gateway.ledger.events import Payer
from services.gateway.limits.allowance import Allowance, policy_item
from services.gateway.limits.desk import rule_of, shown
from services.gateway.limits.gauges import Demand, Lease, Reading
from services.gateway.limits.limiter import Limiter, Settlement
from services.gateway.limits.policy import limits_of
from services.gateway.limits.rules import Limit, Mode, Period, Resource, Rule, Subject
from services.gateway.limits.tiers import tier_rules
from services.rpc.errors import InvalidArgumentError, Reason, ResourceExhaustedError

ANN = Payer("acme", "user:ann", "k1")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Seeds:
    async def used(self, limit: Limit) -> float:
        return 4.0


def limit(
    resource: Resource = Resource.REQUESTS,
    period: Period = Period.SECOND,
    amount: int = 2,
    burst: int | None = 3,
    mode: Mode = Mode.HARD,
) -> Limit:
    rule = Rule(Subject.KEY, resource, period, amount, burst, mode)
    return Limit(rule, "acme", "k1", "tier")


async def take(limiter: Limiter, which: Limit, amount: float = 1.0, lease: str = "x") -> Reading:
    (reading,), _ = await limiter.take([limiter.demand(which, amount)], Lease(lease, 60.0))
    return reading


async def test_a_bucket_empties_and_fills() -> None:
    clock = Clock()
    limiter = Limiter(None, Seeds(), clock=clock)
    taken = [await take(limiter, limit()) for _ in range(4)]
    assert [each.is_allowed for each in taken] == [True, True, True, False]
    assert [each.remaining for each in taken] == [2, 1, 0, 0]
    assert taken[-1].retry_after_seconds == pytest.approx(0.5)
    clock.now += 0.5
    assert (await take(limiter, limit())).is_allowed
    assert not (await take(limiter, limit())).is_allowed


async def test_a_replica_alone_takes_its_share() -> None:
    limiter = Limiter(None, Seeds(), replicas=3, clock=Clock())
    bucket = limit(burst=30)
    assert sum([(await take(limiter, bucket)).is_allowed for _ in range(40)]) == 10
    month = limit(Resource.TOKENS, Period.MONTH, 34, None)
    outcomes = [(await take(limiter, month, lease=str(i))).is_allowed for i in range(40)]
    assert sum(outcomes) == 10  # of 34 the ledger has 4 already


async def test_more_than_the_whole_bucket_passes_when_it_is_full_and_is_worked_off() -> None:
    clock = Clock()
    limiter = Limiter(None, Seeds(), clock=clock)
    assert (await take(limiter, limit(), 9.0)).is_allowed
    clock.now += 2.9
    assert not (await take(limiter, limit())).is_allowed
    clock.now += 0.7
    assert (await take(limiter, limit())).is_allowed


async def test_what_was_not_used_comes_back() -> None:
    limiter = Limiter(None, Seeds(), clock=Clock())
    month = limit(Resource.TOKENS, Period.MONTH, 14, None)
    assert (await take(limiter, month, 10.0, "a")).is_allowed
    assert not (await take(limiter, month, 1.0, "b")).is_allowed
    limiter.settle(Lease("a", 60.0), [Settlement(limiter.demand(month, 10.0), 3.0, False)])
    assert (await take(limiter, month, 7.0, "c")).is_allowed
    bucket = limit()
    await take(limiter, bucket, 3.0)
    limiter.settle(Lease("d", 60.0), [Settlement(limiter.demand(bucket, 3.0), 1.0, False)])
    assert (await take(limiter, bucket, 0.0)).remaining == pytest.approx(2.0)


async def test_streams_end_by_themselves_when_nobody_settles() -> None:
    clock = Clock()
    limiter = Limiter(None, Seeds(), clock=clock)
    streams = limit(Resource.STREAMS, Period.AT_ONCE, 1, None)
    assert (await take(limiter, streams, lease="a")).is_allowed
    assert not (await take(limiter, streams, lease="b")).is_allowed
    clock.now += 61
    assert (await take(limiter, streams, lease="c")).is_allowed


def rule(amount: int | None, **more: object) -> Rule:
    return Rule(Subject.KEY, Resource.REQUESTS, Period.SECOND, amount, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stored", "amount", "source"),
    [
        ((), 1, "tier"),
        ((rule(2, tier="free"), rule(9, tier="premium")), 2, "tier"),
        ((rule(2, tier="free"), rule(3, tenant="acme"), rule(9, tenant="other")), 3, "tenant"),
        ((rule(4, tenant="acme", subject_id="k1"), rule(3, tenant="acme")), 4, "key"),
        ((rule(4, tenant="acme", subject_id="k2"), rule(3, tenant="acme")), 3, "tenant"),
        ((rule(None, tenant="acme"),), None, ""),
    ],
)
def test_the_narrowest_rule_holds(
    stored: tuple[Rule, ...], amount: int | None, source: str
) -> None:
    found = limits_of(ANN, "free", [rule(1, tier="free")], stored)
    if amount is None:
        assert found == ()
        return
    (only,) = found
    assert (only.amount, only.source, only.subject_id) == (amount, source, "k1")


def test_a_key_of_nobody_has_no_user_limits() -> None:
    each_user = Rule(Subject.USER, Resource.TOKENS, Period.DAY, 5, tenant="acme")
    assert limits_of(ANN, "free", [], [each_user])[0].subject_id == "user:ann"
    assert limits_of(Payer("acme", "key:k1", "k1"), "free", [], [each_user]) == ()


def test_tiers_differ() -> None:
    tiers = tier_rules(200.0, 1_000)
    rates = {name: rules[0].amount for name, rules in tiers.items()}
    assert rates == {"free": 20, "standard": 200, "premium": 1_000}
    assert tier_rules(0.5, 5)["free"][0].period is Period.MINUTE


def test_headers_tell_of_every_limit_but_those_on_trial() -> None:
    day = limit(Resource.REQUESTS, Period.DAY, 100, None)
    soft = limit(Resource.REQUESTS, Period.HOUR, 10, 10, Mode.SOFT)
    trial = limit(Resource.REQUESTS, Period.MINUTE, 1, 1, Mode.SHADOW)
    allowance = Allowance(
        (
            Reading(limit(), True, 2.0, 0.4, 0.0),
            Reading(day, True, 99.0, 3_600.0, 0.0),
            Reading(soft, False, -1.0, 30.0, 30.0),
            Reading(trial, False, 0.0, 60.0, 60.0),
        )
    )
    allowance.check()
    headers = [(name.decode(), value.decode()) for name, value in allowance.headers()]
    assert headers == [
        (
            "ratelimit-policy",
            (
                '"key-requests-second";q=3;w=2, "key-requests-day";q=100;w=86400, '
                '"key-requests-hour";q=10;w=3600'
            ),
        ),
        (
            "ratelimit",
            (
                '"key-requests-second";r=2;t=1, "key-requests-day";r=99;t=3600, '
                '"key-requests-hour";r=0;t=30'
            ),
        ),
        ("ratelimit-limit", "10"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "30"),
        ("x-cairn-limit-warning", "key-requests-hour"),
    ]
    openai = dict(allowance.headers(is_openai=True))
    assert openai[b"x-ratelimit-remaining-requests"] == b"0"
    assert openai[b"x-ratelimit-reset-requests"] == b"30s"
    assert policy_item(limit(Resource.STREAMS, Period.AT_ONCE, 4, None)).endswith(
        'q=4;qu="concurrent-requests"'
    )


@pytest.mark.parametrize(
    ("period", "reason"),
    [(Period.MINUTE, Reason.RATE_LIMITED), (Period.MONTH, Reason.QUOTA_EXCEEDED)],
)
def test_the_refusal_waits_longest_and_names_its_limit(period: Period, reason: Reason) -> None:
    which = limit(Resource.TOKENS, period, 5, None)
    allowance = Allowance(
        (Reading(limit(), False, 0.0, 1.0, 0.5), Reading(which, False, 1.0, 60.0, 40.0))
    )
    with pytest.raises(ResourceExhaustedError) as caught:
        allowance.check()
    assert caught.value.reason is reason
    assert caught.value.retry_after_seconds == 40.0
    assert caught.value.metadata["policy"] == f"key-tokens-{period}"
    assert caught.value.metadata["quota_subject"] == "key:k1"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"subject": "team"}, "subject"),
        ({"resource": "memory"}, "resource"),
        ({"period": "at_once"}, "period"),
        ({"mode": "mild"}, "mode"),
        ({"amount": -1}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": 1e300}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"burst": float("inf")}, "burst"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_field(
    given: dict[str, object], field: str
) -> None:
    good = {"subject": "key", "resource": "requests", "period": "second", "amount": 5}
    with pytest.raises(InvalidArgumentError) as caught:
        rule_of(**(good | given))  # type: ignore[arg-type]
    assert caught.value.violations[0].field == field


def test_money_is_shown_in_whole_units() -> None:
    cost = rule_of(subject="tenant", resource="cost", period="month", amount=12.5)
    assert cost.amount == 12_500_000_000
    assert shown(Resource.COST, cost.amount) == 12.5
    assert shown(Resource.TOKENS, 7.0) == 7
    assert shown(Resource.TOKENS, None) is None


def test_gauges_of_a_tenant_lie_together() -> None:
    demand = Demand(limit(), "{acme}:key:k1:requests:second:", 1.0)
    assert demand.gauge.startswith("{acme}:")
