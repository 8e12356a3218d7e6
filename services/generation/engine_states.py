"""Pause, drain, sleep and wake of an engine, one change at a time."""

from __future__ import annotations

import asyncio
from typing import Protocol

from services.generation.engine import EngineState
from services.generation.fair_queue import FairQueue
from services.rpc.errors import Reason, UnavailableError, UnimplementedError

_POLL_SECONDS = 0.05
_REFUSING = frozenset({EngineState.DRAINED, EngineState.ASLEEP})


class Pausable(Protocol):
    """What `EngineStates` needs of vLLM's AsyncLLM."""

    async def pause_generation(self, *, mode: str, clear_cache: bool) -> None:
        """Stops scheduling."""
        ...

    async def resume_generation(self) -> None:
        """Schedules again."""
        ...

    async def sleep(self, level: int) -> None:
        """Frees the accelerator's memory."""
        ...

    async def wake_up(self) -> bool:
        """Fills it again."""
        ...


class EngineStates:
    """The state of one engine, and how it changes.

    Args:
        engine: Is told to pause, sleep and go on.
        queue: Holds requests back meanwhile.
        can_sleep: Whether the engine was started so that it can.
    """

    def __init__(self, engine: Pausable, queue: FairQueue, *, can_sleep: bool) -> None:
        self._engine = engine
        self._queue = queue
        self._can_sleep = can_sleep
        self._lock = asyncio.Lock()
        self.state = EngineState.SERVING

    def check(self) -> None:
        """Lets a new request pass, or not.

        Raises:
            UnavailableError: The engine takes none now.
        """
        if self.state in _REFUSING:
            raise UnavailableError(
                Reason.NOT_READY, f"the engine is {self.state.value}", retry_after_seconds=5.0
            )

    async def change(self, wanted: EngineState) -> None:
        """Brings the engine into a state; a change that is broken off leaves a whole state.

        Raises:
            UnimplementedError: It cannot sleep.
        """
        if wanted is EngineState.ASLEEP and not self._can_sleep:
            raise UnimplementedError(
                Reason.NOT_SUPPORTED,
                "the engine cannot sleep; on a GPU start it with "
                'CAIRN_GENERATION_VLLM_ENGINE_ARGS={"enable_sleep_mode": true}',
            )
        async with self._lock:
            if wanted is self.state:
                return
            await self._serve()
            if wanted is EngineState.PAUSED:
                await self._pause()
            elif wanted in _REFUSING:
                await self._drain()
                if wanted is EngineState.ASLEEP:
                    await self._engine.sleep(1)
                    self.state = EngineState.ASLEEP

    async def _serve(self) -> None:
        if self.state is EngineState.PAUSED:
            await self._engine.resume_generation()
            self._queue.release()
        elif self.state is EngineState.ASLEEP:
            await self._engine.wake_up()
        self.state = EngineState.SERVING

    async def _pause(self) -> None:
        self._queue.hold()
        try:
            await self._engine.pause_generation(mode="keep", clear_cache=False)
        except BaseException:
            self._queue.release()
            raise
        self.state = EngineState.PAUSED

    async def _drain(self) -> None:
        self.state = EngineState.DRAINED
        while self._queue.running or self._queue.waiting:  # noqa: ASYNC110 - rare, and nobody waits
            await asyncio.sleep(_POLL_SECONDS)
