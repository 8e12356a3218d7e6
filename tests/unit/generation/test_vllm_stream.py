"""Pieces of a stream: the first at once, then by the window; the end and failures never wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from services.generation.vllm_stream import TokenStream

WINDOW_SECONDS = 3600.0
"""Never ends in a test: what leaves, leaves for another reason."""


@dataclass
class Output:
    """What vLLM hands out, as far as the stream looks at it."""

    number: int
    finished: bool = False


class Collector:
    """vLLM's own collector: merges what comes."""

    def __init__(self) -> None:
        self.output: Any = None
        self.is_closed = False

    def put(self, output: Any) -> None:
        self.output = output

    def get_nowait(self) -> Any:
        output, self.output = self.output, None
        return output

    def close(self) -> None:
        self.is_closed = True


class Engine:
    """An engine that writes when told to."""

    def __init__(self, *, early: Output | None = None, start_seconds: float = 0.0) -> None:
        self.collector = Collector()
        self.collector.output = early
        self.aborted: list[str] = []
        self.last_words: Output | None = None
        self._start_seconds = start_seconds

    async def add_request(self, request_id: str, prompt: Any, params: Any, **_: Any) -> Collector:
        await asyncio.sleep(self._start_seconds)
        return self.collector

    async def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)
        await asyncio.sleep(0)
        if self.last_words is not None:
            self.collector.put(self.last_words)

    def write(self, *outputs: Any) -> None:
        for output in outputs:
            self.collector.put(output)


def open_stream(engine: Engine, window_seconds: float = WINDOW_SECONDS, **more: Any) -> TokenStream:
    return TokenStream(engine, "r", window_seconds=window_seconds, **more)


async def next_numbers(stream: TokenStream) -> list[int] | None:
    async with asyncio.timeout(5):
        piece = await stream.next_piece()
    return None if piece is None else [each.number for each in piece]


async def test_the_first_token_leaves_at_once_and_the_end_takes_the_rest_along() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.write(Output(1))
        first = await next_numbers(stream)
        engine.write(Output(2), Output(3))
        waiting = asyncio.ensure_future(next_numbers(stream))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        engine.write(Output(4, finished=True))

        assert first == [1]
        assert await waiting == [2, 3, 4]
    assert engine.aborted == []
    assert engine.collector.is_closed


async def test_tokens_within_a_window_leave_together_and_none_is_lost() -> None:
    engine = Engine()
    seen: list[int] = []
    pieces = 0

    async def read(stream: TokenStream) -> None:
        nonlocal pieces
        while not seen or seen[-1] != 200:
            seen.extend(await next_numbers(stream) or [])
            pieces += 1

    async with open_stream(engine, 0.02) as stream:
        await stream.start(None, None, {})
        reading = asyncio.ensure_future(read(stream))
        for number in range(1, 201):
            engine.write(Output(number, finished=number == 200))
            await asyncio.sleep(0.001)
        await reading

    assert seen == list(range(1, 201))
    assert pieces < 60


async def test_without_a_window_each_token_leaves_by_itself() -> None:
    engine = Engine()
    async with open_stream(engine, 0.0) as stream:
        await stream.start(None, None, {})
        for number in range(3):
            engine.write(Output(number))
            assert await next_numbers(stream) == [number]


async def test_what_came_before_the_stream_was_there_is_not_lost() -> None:
    engine = Engine(early=Output(1))
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        assert await next_numbers(stream) == [1]


async def test_a_failure_does_not_wait_for_the_window() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.write(Output(1))
        await next_numbers(stream)
        engine.write(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await next_numbers(stream)


async def test_leaving_aborts_the_request() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.write(Output(1))
        await next_numbers(stream)

    assert engine.aborted == ["r"]
    assert engine.collector.is_closed


async def test_a_cancel_before_the_engine_has_answered_aborts_too() -> None:
    engine = Engine(start_seconds=3600)

    async def run() -> None:
        async with open_stream(engine) as stream:
            await stream.start(None, None, {})

    running = asyncio.create_task(run())
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert engine.aborted == ["r"]


async def test_at_its_time_the_stream_ends_and_the_engine_gives_its_last_words() -> None:
    engine = Engine()
    ends_at = asyncio.get_running_loop().time() + 0.02
    async with open_stream(engine, ends_at=ends_at) as stream:
        await stream.start(None, None, {})
        engine.write(Output(1))
        await next_numbers(stream)
        assert await next_numbers(stream) is None
        engine.last_words = Output(2, finished=True)
        words = await stream.abort()

    assert [each.number for each in words] == [2]
    assert engine.aborted == ["r"]
