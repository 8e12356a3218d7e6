"""Tokens are reserved, corrected and settled; nothing stays reserved."""

from __future__ import annotations

import random

from services.generation import metrics
from services.generation.engine import TokenUsage
from services.generation.token_accounts import TokenAccounts, charged_tokens


def charged(tenant: str, kind: str) -> float:
    return metrics.TENANT_TOKENS.labels(tenant, kind)._value.get()


def test_a_reservation_gives_back_what_was_not_used() -> None:
    accounts = TokenAccounts()
    reservation = accounts.reserve("accounts-a", 150)
    reserved = accounts.reserved_tokens
    reservation.settle(TokenUsage(100, 60, 20), has_ended=True)

    assert reserved == 150
    assert accounts.reserved_tokens == 0
    assert charged("accounts-a", "prompt") == 40
    assert charged("accounts-a", "cached_prompt") == 60
    assert charged("accounts-a", "completion") == 20


def test_a_cancelled_request_is_charged_for_what_it_took_once() -> None:
    accounts = TokenAccounts()
    reservation = accounts.reserve("accounts-b", 500)
    reservation.settle(TokenUsage(100, 0, 7), has_ended=False)
    reservation.settle(TokenUsage(100, 0, 7), has_ended=False)
    accounts.reserve("accounts-b", 50).settle(TokenUsage(), has_ended=False)

    assert accounts.reserved_tokens == 0
    assert charged("accounts-b", "prompt") == 100
    assert charged("accounts-b", "completion") == 7


def test_what_outgrows_its_estimate_is_booked() -> None:
    accounts = TokenAccounts()
    reservation = accounts.reserve("accounts-c", 100)
    reservation.correct(TokenUsage(80, 0, 10))
    within = accounts.reserved_tokens
    reservation.correct(TokenUsage(80, 0, 60))
    beyond = accounts.reserved_tokens
    reservation.settle(TokenUsage(80, 0, 60), has_ended=True)

    assert (within, beyond, accounts.reserved_tokens) == (100, 140, 0)


def test_the_estimate_follows_what_is_written() -> None:
    accounts = TokenAccounts()
    first = accounts.expected_output(512)
    for _ in range(200):
        accounts.reserve("accounts-d", 1).settle(TokenUsage(10, 0, 20), has_ended=True)
        accounts.reserve("accounts-d", 1).settle(TokenUsage(10, 0, 500), has_ended=False)

    assert first == 512
    assert 20 <= accounts.expected_output(512) <= 40
    assert accounts.expected_output(5) == 5


def test_any_interleaving_ends_at_zero() -> None:
    source = random.Random(1)
    accounts = TokenAccounts()
    running = []
    for _ in range(1000):
        if running and source.random() < 0.5:
            reservation, usage = running.pop(source.randrange(len(running)))
            reservation.settle(usage, has_ended=source.random() < 0.5)
        else:
            usage = TokenUsage(source.randrange(100), 0, source.randrange(100))
            reservation = accounts.reserve("accounts-e", source.randrange(200))
            reservation.correct(usage)
            running.append((reservation, usage))
    for reservation, usage in running:
        reservation.settle(usage, has_ended=True)

    assert accounts.reserved_tokens == 0


def test_cached_tokens_cost_nothing() -> None:
    assert charged_tokens(TokenUsage(100, 90, 5)) == 15
