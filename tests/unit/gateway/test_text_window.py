"""How the pieces of an answer are gathered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from services.gateway.clients.text_window import Event, Gathering, gathered
from services.gateway.pipeline.ports import Finished, Started, Wrote
from services.gateway.usage import Usage
from services.rpc.errors import Reason, UnavailableError

STARTED = Started("engine", "model")
FINISHED = Finished("", "stop", "engine", "model", Usage())
HOUR = 3_600.0


Read = Callable[[Gathering], Awaitable[None]]


def engine(*pieces: Event | Exception) -> Read:
    async def read(found: Gathering) -> None:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            await asyncio.sleep(0)
            if isinstance(piece, Wrote):
                found.wrote(piece.text, piece.completion_tokens)
            else:
                found.add(piece)

    return read


async def write_endlessly(found: Gathering) -> AsyncGenerator[None]:
    while True:
        wait = found.wrote("x" * 1_000, 1)
        if wait is not None:
            await wait
        await asyncio.sleep(0)
        yield


async def seen(read: Read, window_seconds: float) -> list[Event]:
    async with contextlib.aclosing(gathered(read, window_seconds)) as found:
        return [each async for each in found]


def text_of(events: list[Event]) -> str:
    return "".join(each.text for each in events if isinstance(each, Wrote))


async def test_the_first_piece_comes_at_once_and_the_rest_together_with_the_end() -> None:
    pieces = [Wrote(text, 1) for text in ("a", "b", "c", "d")]
    found = await seen(engine(STARTED, *pieces, FINISHED), HOUR)
    assert (found[0], found[-1]) == (STARTED, FINISHED)
    assert [type(each) for each in found[1:-1]] in ([Wrote], [Wrote, Wrote])
    assert text_of(found) == "abcd"


async def test_nothing_that_waits_is_kept_from_the_reader_longer_than_the_window() -> None:
    more = asyncio.Event()

    async def slow(found: Gathering) -> None:
        found.wrote("first ", 1)
        await asyncio.sleep(0)
        found.wrote("second ", 1)
        await more.wait()
        found.wrote("third", 1)

    text = ""
    async with contextlib.aclosing(gathered(slow, 0.001)) as found, asyncio.timeout(5):
        async for each in found:
            assert isinstance(each, Wrote)
            text += each.text
            if text == "first second ":
                more.set()
    assert text == "first second third"


async def test_a_piece_without_a_count_leaves_the_whole_to_be_estimated() -> None:
    found = await seen(engine(Wrote("a", 3), Wrote("b", 0), Wrote("c", 2), FINISHED), HOUR)
    pieces = [each for each in found if isinstance(each, Wrote)]
    assert text_of(found) == "abc"
    assert all(each.completion_tokens == 0 for each in pieces if "b" in each.text)


async def test_an_error_comes_after_the_text_before_it() -> None:
    failure = UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "gone")
    found: list[Event] = []

    async def read() -> None:
        async for each in gathered(engine(Wrote("a", 1), Wrote("b", 1), failure), HOUR):
            found.append(each)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(UnavailableError, match="gone"):
        await read()
    assert text_of(found) == "ab"


async def test_whoever_stops_reading_stops_the_engine() -> None:
    has_stopped = asyncio.Event()

    async def endless(found: Gathering) -> None:
        try:
            async for _ in write_endlessly(found):
                pass
        finally:
            has_stopped.set()

    async with contextlib.aclosing(gathered(endless, HOUR)) as found, asyncio.timeout(5):
        first = await anext(found)
        second = await anext(found)  # more than may be gathered does not wait for the window
    assert isinstance(first, Wrote)
    assert isinstance(second, Wrote)
    assert 65_536 < len(second.text) < 70_000
    assert has_stopped.is_set()


async def test_an_engine_is_held_back_while_nobody_reads() -> None:
    written = 0

    async def endless(found: Gathering) -> None:
        nonlocal written
        async for _ in write_endlessly(found):
            written += 1

    async with contextlib.aclosing(gathered(endless, HOUR)) as found:
        await anext(found)
        for _ in range(500):
            await asyncio.sleep(0)
        assert written < 100
