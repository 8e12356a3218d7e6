"""Pieces of a stream: the first at once, then by the window; the end and failures never wait."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from services.generation.stream_window import StreamWindow
from services.generation.vllm_stream import TokenStream

WINDOW_SECONDS = 0.02


@dataclass
class Output:
    """What vLLM hands out, as far as the stream looks at it."""

    tokens: list[int]
    finished: bool = False


class State:
    """vLLM's account of a request, which is its own detokenizer here: tells the first token and the end."""

    def __init__(self) -> None:
        self.output_token_ids: list[int] = []
        self.sent_tokens_offset = 0
        self.stream_interval = 1 << 30
        self.detokenizer = self

    def num_output_tokens(self) -> int:
        return len(self.output_token_ids)

    def make_request_output(self, tokens: list[int], *_: Any) -> Output:
        assert self.stream_interval == 1
        return Output(tokens)

    def write(self, tokens: list[int], *, finished: bool) -> Output | None:
        self.output_token_ids += tokens
        if not finished and self.sent_tokens_offset:
            return None
        told = self.output_token_ids[self.sent_tokens_offset :]
        self.sent_tokens_offset = len(self.output_token_ids)
        return Output(told, finished)


class Collector:
    """vLLM's own collector: keeps what comes."""

    request_id = "r-1"

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
    """An engine that writes when told to, a step at a time."""

    def __init__(self, *, start_seconds: float = 0.0) -> None:
        self.collector = Collector()
        self.state = State()
        self.request_states = {Collector.request_id: self.state}
        self.output_processor = self
        self.now = 1000.0
        self.window = StreamWindow(WINDOW_SECONDS, lambda: self.now)
        self.aborted: list[str] = []
        self.last_words: list[int] | None = None
        self._start_seconds = start_seconds

    async def add_request(self, request_id: str, prompt: Any, params: Any, **_: Any) -> Collector:
        await asyncio.sleep(self._start_seconds)
        return self.collector

    async def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)
        await asyncio.sleep(0)
        if self.last_words is not None:
            self.collector.put(self.state.write(self.last_words, finished=True))

    def step(self, *tokens: int, finished: bool = False, after: float = 0.0) -> None:
        """Writes tokens, so many seconds after the last step."""
        self.now += after
        output = self.state.write(list(tokens), finished=finished)
        if output is not None:
            self.collector.put(output)
        self.window.stepped()

    def fail(self, error: Exception) -> None:
        self.collector.put(error)


def open_stream(engine: Engine, **more: Any) -> TokenStream:
    return TokenStream(engine, "r", window=engine.window, **more)


async def next_tokens(stream: TokenStream) -> list[int] | None:
    async with asyncio.timeout(5):
        piece = await stream.next_piece()
    return None if piece is None else [token for each in piece for token in each.tokens]


async def test_the_first_token_leaves_at_once_and_the_end_takes_the_rest_along() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.step(1)
        first = await next_tokens(stream)
        waiting = asyncio.ensure_future(next_tokens(stream))
        engine.step(2)
        engine.step(3)
        await asyncio.sleep(0)
        assert not waiting.done()
        engine.step(4, finished=True)

        assert first == [1]
        assert await waiting == [2, 3, 4]
    assert engine.aborted == []
    assert engine.collector.is_closed


async def test_a_step_takes_along_what_was_written_in_its_window() -> None:
    engine = Engine()
    seen: list[list[int] | None] = []

    async def read(stream: TokenStream) -> None:
        while not seen or 9 not in (seen[-1] or ()):
            seen.append(await next_tokens(stream))

    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        reading = asyncio.ensure_future(read(stream))
        for number in range(1, 10):
            engine.step(number, finished=number == 9, after=0.008)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await reading

    assert seen == [[1], [2, 3, 4], [5, 6, 7], [8, 9]]


async def test_tokens_that_come_slower_than_windows_leave_one_by_one_at_once() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        for number in range(1, 5):
            engine.step(number, after=2 * WINDOW_SECONDS)
            assert await next_tokens(stream) == [number]


async def test_what_no_later_step_takes_along_leaves_after_a_window() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.step(1)
        assert await next_tokens(stream) == [1]
        engine.step(2)

        assert await next_tokens(stream) == [2]


async def test_who_reads_late_gets_all_that_was_written_meanwhile_in_one_piece() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        for number in range(1, 5):
            engine.step(number, after=2 * WINDOW_SECONDS)
        assert await next_tokens(stream) == [1, 2, 3, 4]
        engine.step(5, after=2 * WINDOW_SECONDS)
        engine.step(6, finished=True)

        assert await next_tokens(stream) == [5, 6]


async def test_without_a_window_what_vllm_tells_leaves_at_once() -> None:
    engine = Engine()
    async with TokenStream(engine, "r") as stream:
        await stream.start(None, None, {})
        for number in range(3):
            engine.collector.put(Output([number]))
            assert await next_tokens(stream) == [number]


async def test_what_came_before_the_stream_was_there_is_not_lost() -> None:
    engine = Engine()
    engine.step(1)
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        assert await next_tokens(stream) == [1]


async def test_a_request_that_has_ended_before_the_stream_was_there_is_whole() -> None:
    engine = Engine()
    engine.step(1, 2, finished=True)
    engine.request_states.clear()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        assert await next_tokens(stream) == [1, 2]
        assert stream.is_finished


async def test_a_failure_does_not_wait_for_the_window() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.step(1)
        await next_tokens(stream)
        engine.fail(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await next_tokens(stream)


async def test_leaving_aborts_the_request_and_is_told_no_more() -> None:
    engine = Engine()
    async with open_stream(engine) as stream:
        await stream.start(None, None, {})
        engine.step(1)
        await next_tokens(stream)
        engine.step(2)
    engine.step(3, after=1.0)

    assert engine.aborted == ["r"]
    assert engine.collector.is_closed
    assert engine.state.sent_tokens_offset == 1


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
        engine.step(1)
        await next_tokens(stream)
        assert await next_tokens(stream) is None
        engine.last_words = [2, 3]
        words = await stream.abort()

    assert [each.tokens for each in words] == [[2, 3]]
    assert engine.aborted == ["r"]


async def test_a_caller_that_hands_text_on_seldom_gets_it_as_seldom() -> None:
    engine = Engine()
    async with open_stream(engine, pause_seconds=0.05) as stream:
        await stream.start(None, None, {})
        engine.step(1)
        assert await next_tokens(stream) == [1]
        began = asyncio.get_running_loop().time()
        waiting = asyncio.ensure_future(next_tokens(stream))
        engine.step(2, after=2 * WINDOW_SECONDS)
        engine.step(3, after=2 * WINDOW_SECONDS)
        assert await waiting == [2, 3]
        assert asyncio.get_running_loop().time() - began > 0.049


async def test_the_end_does_not_wait_for_a_callers_pause() -> None:
    engine = Engine()
    async with open_stream(engine, pause_seconds=3_600) as stream:
        await stream.start(None, None, {})
        engine.step(1)
        assert await next_tokens(stream) == [1]
        engine.step(2, after=2 * WINDOW_SECONDS)
        engine.step(3, finished=True)
        assert await next_tokens(stream) == [2, 3]
