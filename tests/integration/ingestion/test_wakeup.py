"""Wake-ups through Valkey: a hint when it is there, nothing worse than a poll when it is not."""

from __future__ import annotations

import asyncio
import time

from services.ingestion.wakeup import Wakeup
from tests.kit.ports import free_port
from tests.kit.valkey import running_valkey

LONG_SECONDS = 30.0


async def woken(wakeup: Wakeup, seconds: float = LONG_SECONDS) -> bool:
    """Whether a hint came before the time was over."""
    started = time.monotonic()
    await wakeup.wait(seconds)
    return time.monotonic() - started < seconds


async def test_a_hint_in_this_process_ends_the_wait_also_when_it_came_before():
    async with Wakeup() as wakeup:
        await wakeup.notify()
        assert await woken(wakeup)
        waiting = asyncio.ensure_future(woken(wakeup))
        await asyncio.sleep(0)
        await wakeup.notify()
        assert await waiting


async def test_each_hint_ends_one_wait():
    async with Wakeup() as wakeup:
        await wakeup.notify()
        assert await woken(wakeup)
        assert not await woken(wakeup, 0.05)


async def test_a_hint_reaches_other_processes_through_valkey(tmp_path):
    with running_valkey(tmp_path) as valkey:
        async with Wakeup(valkey.url) as worker, Wakeup(valkey.url, is_listening=False) as api:
            assert await woken(worker)  # by subscribing: what was missed before is looked for
            waiting = asyncio.ensure_future(woken(worker))
            await asyncio.sleep(0)
            await api.notify()
            assert await waiting


async def test_without_valkey_hints_stay_in_the_process_and_nothing_fails():
    url = f"redis://127.0.0.1:{free_port()}/0"
    async with Wakeup(url) as wakeup:
        await wakeup.notify()
        assert await woken(wakeup)
        assert not await woken(wakeup, 0.05)


async def test_a_frozen_valkey_holds_up_nobody(tmp_path):
    with running_valkey(tmp_path) as valkey:
        async with Wakeup(valkey.url) as wakeup:
            assert await woken(wakeup)
            valkey.freeze()
            async with asyncio.timeout(5):
                await wakeup.notify()
                assert await woken(wakeup)
            valkey.thaw()
