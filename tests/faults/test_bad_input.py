"""Bad input on every RPC of the running suite: a precise error, never a fault of ours."""

from __future__ import annotations

import asyncio
from collections import Counter

import grpc
import grpc.aio
import pytest

from services.rpc.service_identity import HEADER, ServiceIdentity
from tests.kit.hostile_messages import hostile_variants
from tests.kit.raw_calls import Outcome, call
from tests.kit.suite import Suite
from tests.kit.valid_requests import SERVICES, all_requests

FAULTS = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}
METHODS = [(service, method) for service, method, _ in all_requests()]


def _takes_long(what: str) -> bool:
    """A sequence number that never comes is waited for."""
    return "min_seq" in what


def _complaint(what: str, outcome: Outcome) -> str | None:
    if outcome.code in FAULTS:
        return f"{what}: {outcome.code.name} {outcome.message}"
    if outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return None if _takes_long(what) else f"{what}: no answer within the deadline"
    # Only the transport itself may refuse without a reason: a message over the size limit.
    may_be_bare = {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    if outcome.code not in may_be_bare and not outcome.reason:
        return f"{what}: {outcome.code.name} without a reason: {outcome.message}"
    if outcome.code is grpc.StatusCode.INVALID_ARGUMENT and not outcome.message:
        return f"{what}: no message"
    return None


@pytest.mark.timeout(600)
@pytest.mark.parametrize("service", list(SERVICES))
async def test_hostile_fields_get_precise_errors(suite: Suite, service: str) -> None:
    name, requests = SERVICES[service]
    complaints: list[str] = []
    codes: Counter[str] = Counter()
    gate = asyncio.Semaphore(8)
    async with grpc.aio.insecure_channel(suite.address(service)) as channel:

        async def attempt(method: str, what: str, message: object) -> None:
            async with gate:
                outcome = await call(
                    channel,
                    name,
                    method,
                    message,
                    timeout_seconds=2 if _takes_long(f"{method} {what}") else 30,
                    metadata=suite.credentials(service),
                )
            codes[outcome.code.name] += 1
            if complaint := _complaint(f"{method} with {what}", outcome):
                complaints.append(complaint)

        for method, valid in requests().items():
            async with asyncio.TaskGroup() as group:
                for what, message in hostile_variants(valid):
                    group.create_task(attempt(method, what, message))
    assert not complaints, "\n".join(complaints[:40])
    assert codes["INVALID_ARGUMENT"] > 10, codes


@pytest.mark.parametrize(("service", "method"), METHODS)
async def test_bytes_that_are_no_message_are_refused(
    suite: Suite, service: str, method: str
) -> None:
    async with grpc.aio.insecure_channel(suite.address(service)) as channel:
        for garbage in (b"\xff\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 200):
            outcome = await call(
                channel,
                SERVICES[service][0],
                method,
                garbage,
                metadata=suite.credentials(service),
            )
            assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT, (garbage, outcome)
            assert outcome.reason == "INVALID_FIELD"


@pytest.mark.parametrize("method", list(SERVICES["gateway"][1]()))
async def test_gateway_refuses_calls_without_a_valid_key(suite: Suite, method: str) -> None:
    name, requests = SERVICES["gateway"]
    request = requests()[method]
    async with grpc.aio.insecure_channel(suite.address("gateway")) as channel:
        missing = await call(channel, name, method, request)
        wrong = await call(
            channel, name, method, request, metadata=(("authorization", "Bearer crn_wrong"),)
        )
    assert (missing.code, missing.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "CREDENTIAL_MISSING",
    )
    assert (wrong.code, wrong.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


INTERNAL = [pair for pair in METHODS if pair[0] != "gateway"]


@pytest.mark.parametrize(("service", "method"), INTERNAL)
async def test_internal_services_refuse_callers_that_are_not_of_the_installation(
    suite: Suite, service: str, method: str
) -> None:
    name, requests = SERVICES[service]
    request = requests()[method]
    other = "retrieval" if service == "embedding" else "embedding"
    stranger = ServiceIdentity("gateway", "another secret, of thirty-two characters")
    async with grpc.aio.insecure_channel(suite.address(service)) as channel:
        for token, reason in (
            ("", "CREDENTIAL_MISSING"),
            ("v1.gateway", "CREDENTIAL_INVALID"),
            (stranger.sign(service, 600), "CREDENTIAL_INVALID"),
            (suite.identity.sign(other, 600), "CREDENTIAL_INVALID"),
            (suite.identity.sign(service, -600), "CREDENTIAL_INVALID"),
        ):
            given = ((HEADER, token),) if token else ()
            outcome = await call(channel, name, method, request, metadata=given)
            assert (outcome.code, outcome.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


@pytest.mark.parametrize(("service", "method"), INTERNAL)
async def test_internal_services_refuse_calls_without_a_scope(
    suite: Suite, service: str, method: str
) -> None:
    name, requests = SERVICES[service]
    async with grpc.aio.insecure_channel(suite.address(service)) as channel:
        empty = type(requests()[method])()
        outcome = await call(channel, name, method, empty, metadata=suite.credentials(service))
    assert outcome.code in {
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
    }, outcome
    assert outcome.reason
