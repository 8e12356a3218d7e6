"""One request's output from vLLM, in pieces that are worth a message each.

vLLM hands out every token of every request by itself. Waking a task, and sending a message, for
each costs more than the token did; so the first token goes out at once, and later ones by a window:
what came within it leaves together. The end, and a failure, never wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self


class TokenStream:
    """A request in the engine; as a context it is over when the block is, aborted if need be.

    Args:
        llm: The engine.
        request_id: Ours, unique.
        window_seconds: Least time between two pieces; 0: each token by itself.
        ends_at: Time of the loop's clock after which `next_piece` returns None; None: never.
    """

    def __init__(
        self, llm: Any, request_id: str, *, window_seconds: float, ends_at: float | None = None
    ) -> None:
        self._llm = llm
        self._request_id = request_id
        self._window_seconds = window_seconds
        self._ends_at = ends_at
        self._loop = asyncio.get_running_loop()
        self._queue: Any = None
        self._pending: list[Any] = []
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._is_window_open = False
        """Whether a piece left less than a window ago: then tokens wait."""
        self._window_timer: asyncio.TimerHandle | None = None
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
        # From here on each token's output comes to us, not to vLLM's own collector.
        early = queue.get_nowait()
        queue.put = self._put
        if early is not None:
            self._put(early)

    def _put(self, output: Any) -> None:
        if isinstance(output, Exception):
            self._failure = output
        else:
            self._pending.append(output)
            if output.finished:
                self.is_finished = True
            elif self._is_window_open:
                return
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_window(self) -> None:
        self._is_window_open = False
        if self._pending:
            self._wake()

    def _end_time(self) -> None:
        self._is_time_over = True
        self._wake()

    async def next_piece(self) -> Sequence[Any] | None:
        """Waits for what comes next; None when the time is over.

        Raises:
            Exception: vLLM's own, of a request or an engine that failed.
        """
        while True:
            is_due = self._pending and (self.is_finished or not self._is_window_open)
            if is_due:
                return self._take()
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
        if self._window_seconds > 0 and not self.is_finished:
            self._is_window_open = True
            self._window_timer = self._loop.call_later(self._window_seconds, self._end_window)
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
        for timer in (self._window_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        if self._failure is None:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                await self.abort()
        if self._queue is not None:
            self._queue.close()
