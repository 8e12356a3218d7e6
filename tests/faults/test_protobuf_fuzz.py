"""Random protobuf messages to every method of the gateway: whatever comes, no fault of ours.

Half of them are valid requests with bytes flipped, dropped and doubled; the others are filled field by
field with random values of the right types. The key is an administrator of a tenant of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from tests.kit.raw_calls import call
from tests.kit.suite import Suite
from tests.kit.valid_requests import SERVICES

FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
TEXTS = [
    "",
    "a",
    "default",
    "hostile",
    "granite",
    "\x00",
    "é" * 40,
    "🪨",
    "= ",
    "2026-02-30",
    "x" * 9_000,
]
AT_ONCE = 8


def random_message(rng: random.Random, kind: Any, depth: int = 0) -> Message:
    """Fills some fields of a message with random values of their types."""
    message = kind()
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.4 or depth > 4:
            continue
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map:
            continue
        if field.is_repeated:
            found = getattr(message, field.name)
            for _ in range(rng.choice([1, 2, 5])):
                if field.message_type is not None:
                    found.add().CopyFrom(_inner(rng, field, depth))
                else:
                    found.append(_scalar(rng, field))
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(_inner(rng, field, depth))
        else:
            setattr(message, field.name, _scalar(rng, field))
    return message


def _inner(rng: random.Random, field: Field, depth: int) -> Message:
    return random_message(rng, field.message_type._concrete_class, depth + 1)


def _scalar(rng: random.Random, field: Field) -> Any:
    match field.cpp_type:
        case Field.CPPTYPE_STRING if field.type == Field.TYPE_BYTES:
            return rng.randbytes(rng.randint(0, 40))
        case Field.CPPTYPE_STRING:
            return rng.choice(TEXTS)
        case Field.CPPTYPE_BOOL:
            return rng.random() < 0.5
        case Field.CPPTYPE_FLOAT | Field.CPPTYPE_DOUBLE:
            return rng.choice([0.0, -1.0, 0.5, 1e30, float("nan"), float("inf")])
        case Field.CPPTYPE_ENUM:
            return rng.randint(0, 6)
        case Field.CPPTYPE_UINT32 | Field.CPPTYPE_UINT64:
            return rng.choice([0, 1, 5, 2**31, 2**32 - 1])
        case Field.CPPTYPE_INT32:
            return rng.choice([0, 1, -1, 2**31 - 1, -(2**31)])
        case _:
            return rng.choice([0, 1, -1, 2**62, 2**63 - 1, -(2**63)])


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Flips, drops and doubles some bytes."""
    changed = bytearray(data or b"\x0a")
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(changed))
        match rng.randrange(3):
            case 0:
                changed[place] ^= 1 << rng.randrange(8)
            case 1 if len(changed) > 1:
                del changed[place]
            case _:
                changed[place:place] = changed[place : place + rng.randint(1, 9)]
    return bytes(changed)


async def fuzz(suite: Suite, seconds: float, seed: int) -> tuple[Counter[str], list[str]]:
    """Sends random messages; returns how often each status came, and what was a fault."""
    rng = random.Random(seed)
    name, requests = SERVICES["gateway"]
    valid = requests()
    with suite.client() as client:
        made = client.post("/v1/keys", json={"name": "fuzz", "role": "admin", "tenant": "fuzz"})
        assert made.status_code == 201, made.text
    metadata = (("authorization", f"Bearer {made.json()['secret']}"),)
    codes: Counter[str] = Counter()
    faults: list[str] = []
    give_up = time.monotonic() + seconds
    async with grpc.aio.insecure_channel(suite.address("gateway")) as channel:

        async def work() -> None:
            while time.monotonic() < give_up:
                method = rng.choice(list(valid))
                if rng.random() < 0.5:
                    data = damaged(rng, valid[method].SerializeToString())
                else:
                    data = random_message(rng, type(valid[method])).SerializeToString()
                outcome = await call(
                    channel, name, method, data, timeout_seconds=20, metadata=metadata
                )
                codes[outcome.code.name] += 1
                if outcome.code in FAULTS:
                    faults.append(
                        f"{method} {data.hex()[:300]}: {outcome.code.name} {outcome.message}"
                    )

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
    return codes, faults


@pytest.mark.timeout(120)
async def test_random_messages_meet_no_fault(suite: Suite) -> None:
    codes, faults = await fuzz(suite, seconds=4, seed=1)
    assert not faults, "\n".join(faults[:20])
    assert codes["INVALID_ARGUMENT"] > 20, codes


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_minute_of_random_messages_meets_no_fault(suite: Suite) -> None:
    codes, faults = await fuzz(suite, seconds=60, seed=2)
    assert not faults, "\n".join(faults[:20])
    assert sum(codes.values()) > 1_000, codes
