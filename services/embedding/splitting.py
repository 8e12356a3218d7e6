"""Splits texts into tokens beside the loop, one thread for each lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.embedding.options import Lane

T = TypeVar("T")

_INLINE_CHARACTERS = 1000
"""Fewer characters are split in the loop: 0.1 ms, which a change of threads costs as well."""
CHUNK_TEXTS = 64
"""Texts split at a time, so that a cancelled request stops soon and lanes take turns."""


class Splitter:
    """The tokenising threads. Belongs to one loop."""

    def __init__(self) -> None:
        # One thread each: a large request must not hold up the splitting of a query.
        self._threads = {
            lane: ThreadPoolExecutor(1, thread_name_prefix=f"tokenize-{lane.name.lower()}")
            for lane in Lane
        }

    def close(self) -> None:
        """Ends the threads."""
        for executor in self._threads.values():
            executor.shutdown(wait=False, cancel_futures=True)

    async def in_chunks(
        self, texts: Sequence[str], lane: Lane, split: Callable[[Sequence[str]], list[T]]
    ) -> list[T]:
        """Splits texts in the lane's thread, a chunk at a time; a few short ones right here."""
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return split(texts) if texts else []
        result: list[T] = []
        for begin in range(0, len(texts), CHUNK_TEXTS):
            chunk = texts[begin : begin + CHUNK_TEXTS]
            result += await self.in_thread(lane, lambda part=chunk: split(part))
        return result

    async def keyed(self, lane: Lane, size: int, work: Callable[[], T]) -> T:
        """Runs work over `size` characters: here if they are few."""
        return work() if size <= _INLINE_CHARACTERS else await self.in_thread(lane, work)

    async def in_thread(self, lane: Lane, work: Callable[[], T]) -> T:
        """Runs work in the lane's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[lane], work)
