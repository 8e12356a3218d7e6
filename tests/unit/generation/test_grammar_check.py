"""Forms are compiled where it hurts nobody, and what is found is kept."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import pytest

from services.generation import grammar_check
from services.generation.engine import OutputForm, StructuredOutput
from services.generation.grammar_check import GrammarCheck
from services.rpc.errors import (
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)

WORKER = """
import json, os, sys, time
assert json.loads(sys.stdin.readline())["vocabulary"] == 7
print('""', flush=True)
for line in sys.stdin:
    text = json.loads(line)["text"]
    if text == "dies":
        os._exit(9)
    if text == "hangs":
        time.sleep(600)
    if text.startswith("says "):
        print(json.dumps(text[5:]), flush=True)
        continue
    print(json.dumps("" if text.startswith("fine") else f"bad {os.getpid()}\\nmore"), flush=True)
"""


def regex(text: str) -> StructuredOutput:
    return StructuredOutput(OutputForm.REGEX, text)


@contextlib.asynccontextmanager
async def checking(script: str = WORKER) -> AsyncIterator[GrammarCheck]:
    check = GrammarCheck("{}", 7, 0, command=(sys.executable, "-c", script))
    try:
        yield check
    finally:
        await check.close()


async def problem(check: GrammarCheck, text: str) -> tuple[str, Reason]:
    with pytest.raises(InvalidArgumentError) as refused:
        await check.check(regex(text))
    assert refused.value.violations[0].field == "structured_output.regex"
    return refused.value.message, refused.value.reason


async def test_what_can_be_followed_passes() -> None:
    async with checking() as check:
        await check.check(regex("fine"))
        await check.check(None)
        await check.check(StructuredOutput(OutputForm.CHOICES, choices=("a",)))


async def test_what_is_wrong_is_told_in_a_line_and_remembered() -> None:
    async with checking() as check:
        message, reason = await problem(check, "wrong")
        await check.close()  # another process would name itself

        assert await problem(check, "wrong") == (message, reason)
    assert reason is Reason.INVALID_FIELD
    assert "bad" in message
    assert "more" not in message


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "regex parse error:\n    (\n    ^\nerror: unclosed group",
            "regex parse error: error: unclosed group",
        ),
        ("NoExtensionBias", "nothing can be written under it (NoExtensionBias)"),
        ("Invalid type: banana", "Invalid type: banana"),
    ],
)
async def test_what_is_wrong_is_not_left_out(said: str, told: str) -> None:
    async with checking() as check:
        message, _ = await problem(check, f"says {said}")

    assert message.endswith(told)


@pytest.mark.parametrize("way", ["dies", "hangs"])
async def test_what_takes_too_much_is_refused_and_the_next_one_is_served(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with checking() as check:
        await check.start()
        if way == "hangs":
            monkeypatch.setattr(grammar_check, "_ANSWER_SECONDS", 0.2)
        message, reason = await problem(check, way)
        monkeypatch.undo()
        await check.check(regex("fine"))

    assert reason is Reason.TOO_LARGE
    assert "too long" in message


async def test_who_leaves_does_not_leave_an_answer_to_the_next_one() -> None:
    async with checking() as check:
        await check.start()
        leaving = asyncio.ensure_future(check.check(regex("wrong")))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)

        await asyncio.gather(*(check.check(regex(f"fine {number}")) for number in range(20)))


async def test_only_so_many_wait() -> None:
    async with checking() as check:
        ends = await asyncio.gather(
            *(check.check(regex(f"fine {number}")) for number in range(100)),
            return_exceptions=True,
        )

    refused = [end for end in ends if end is not None]
    assert 0 < len(refused) < 100
    assert all(isinstance(end, ResourceExhaustedError) for end in refused)


async def test_what_does_not_start_is_an_outage() -> None:
    async with checking("raise SystemExit(1)") as check:
        await check.start()  # the engine serves all the same
        with pytest.raises(UnavailableError):
            await check.check(regex("fine"))
