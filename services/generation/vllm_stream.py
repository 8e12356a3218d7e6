"""One request's output from vLLM, in pieces that are worth a message each.

vLLM makes an output of every token of every request. That, waking a task for it, and a message each
cost more than the token did; so vLLM makes one of the first token and of the end only, and what is
written in between is fetched from it when the window opens. The end, and a failure, never wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from services.generation.stream_window import StreamWindow


class TokenStream:
    """A request in the engine; as a context it is over when the block is, aborted if need be.

    Args:
        llm: The engine.
        request_id: Ours, unique.
        window: Tells when tokens between the first and the end leave; None: vLLM decides, by the
            `stream_interval` of the request's parameters.
        ends_at: Time of the loop's clock after which `next_piece` returns None; None: never.
        pause_seconds: Least time between two pieces, where the window would open sooner.
    """

    def __init__(
        self,
        llm: Any,
        request_id: str,
        *,
        window: StreamWindow | None = None,
        ends_at: float | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        self._llm = llm
        self._request_id = request_id
        self._window = window
        self._ends_at = ends_at
        self._pause_seconds = pause_seconds
        self._next_at = 0.0
        self._pause_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: Any = None
        self._state: Any = None
        """vLLM's account of the request: what it has written, and how much of that it told."""
        self._is_offered = False
        """Whether the window has opened and nobody has fetched yet what was written."""
        self._pending: list[Any] = []
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._is_time_over = False
        self.is_finished = False
        """Whether the engine has ended the request by itself."""

    async def start(self, prompt: Any, params: Any, options: Mapping[str, Any]) -> None:
        """Gives the request to the engine.

        Args:
            prompt: A rendered input.
            params: vLLM's sampling parameters.
            options: More arguments of `AsyncLLM.add_request`.

        Raises:
            Exception: vLLM's own, of a request that it refuses.
        """
        if self._ends_at is not None:
            self._end_timer = self._loop.call_at(self._ends_at, self._end_time)
        queue = await self._llm.add_request(self._request_id, prompt, params, **options)
        self._queue = queue
        # From here on outputs come to us, not to vLLM's own collector.
        early = queue.get_nowait()
        queue.put = self._put
        if self._window is not None:
            # Absent when the request has ended already: then its end is what came early.
            self._state = self._llm.output_processor.request_states.get(queue.request_id)
            self._window.join(self)
        if early is not None:
            self._put(early)

    def offer(self) -> None:
        """Shows what the engine has written since the first token."""
        state = self._state
        if state is None or not 0 < state.sent_tokens_offset < _written(state):
            return
        if self._pause_timer is not None:
            return
        if self._pause_seconds and self._loop.time() < self._next_at:
            self._pause_timer = self._loop.call_at(self._next_at, self._end_pause)
            return
        self._is_offered = True
        self._wake()

    def _end_pause(self) -> None:
        self._pause_timer = None
        self.offer()

    def _put(self, output: Any) -> None:
        if isinstance(output, Exception):
            self._failure = output
        else:
            self._pending.append(output)
            self.is_finished = self.is_finished or output.finished
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_time(self) -> None:
        self._is_time_over = True
        self._wake()

    async def next_piece(self) -> Sequence[Any] | None:
        """Waits for what comes next; None when the time is over.

        Raises:
            Exception: vLLM's own, of a request or an engine that failed.
        """
        while True:
            if piece := self._take():
                self._next_at = self._loop.time() + self._pause_seconds
                return piece
            if self._failure is not None:
                raise self._failure
            if self._is_time_over:
                return None
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _take(self) -> Sequence[Any]:
        piece, self._pending = self._pending, []
        if self._is_offered:
            self._is_offered = False
            if not self.is_finished:  # else the end has taken the rest along
                piece.extend(_unsent(self._state))
        return piece

    async def abort(self) -> Sequence[Any]:
        """Ends the request in the engine and returns what it wrote and nobody has taken yet."""
        if not self.is_finished:
            # A second cancel must not leave the engine writing for nobody.
            aborting = asyncio.ensure_future(self._llm.abort(self._request_id))
            await asyncio.shield(aborting)
        piece, self._pending = self._pending, []
        return piece

    async def __aenter__(self) -> Self:
        """Returns itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Aborts what still runs: the caller has left, or something failed."""
        if self._end_timer is not None:
            self._end_timer.cancel()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
        if self._window is not None:
            self._window.leave(self)
        if self._failure is None:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                await self.abort()
        self._state = None
        if self._queue is not None:
            self._queue.close()


def _written(state: Any) -> int:
    """Returns the tokens that a request of vLLM's has."""
    return state.detokenizer.num_output_tokens()


def _unsent(state: Any) -> Sequence[Any]:
    """Returns what vLLM has written and not told, as an output of its own."""
    tokens = state.detokenizer.output_token_ids[state.sent_tokens_offset :]
    if not tokens:
        return ()
    state.sent_tokens_offset += len(tokens)
    interval, state.stream_interval = state.stream_interval, 1
    try:
        return (state.make_request_output(tokens, None, None, None),)
    finally:
        state.stream_interval = interval
