"""Meters requests: each one once in the store, whatever dies in between."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Gauge

from services.gateway.ledger import sums
from services.gateway.ledger.account import Account, Metered
from services.gateway.ledger.events import (
    MOVED,
    Outcome,
    Payer,
    UsageEvent,
    encode_event,
    encode_progress,
    first_event_id,
    new_event_id,
)
from services.gateway.ledger.journal import Journal, orphan, read_events
from services.gateway.usage import Usage
from services.rpc.errors import ServiceError
from services.rpc.instruments import Counter
from services.rpc.logs import get_logger
from services.rpc.metrics import TENANTS, series
from services.rpc.telemetry import current_trace_id

if TYPE_CHECKING:
    from services.gateway.usage import Meter, PriceTable
    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

FLUSH_SECONDS = 1.0
"""Events gather this long, so that a request never waits for the database on their account."""

_GATHERED = 200
"""Events that are written without waiting longer: writing many at once holds requests up."""

ADOPT_SECONDS = 5.0
"""How often journals of processes that are gone are looked for."""

PURGE_SECONDS = 600.0

_BATCH = 2_000
_MAX_PENDING = 50_000
_ROTATE_BYTES = 4_000_000

_METERED = Counter("cairn_gateway_metered_requests_total", "Requests metered.", ["operation"])
_PENDING = Gauge("cairn_gateway_ledger_pending_events", "Metered, not yet in the database.")
_ADOPTED = Counter(
    "cairn_gateway_ledger_adopted_events_total",
    "Events of gateways that died, brought into the database by another process.",
)
_TOKENS = Counter(
    "cairn_gateway_tenant_tokens_total", "Tokens by tenant and kind.", ["tenant", "kind"]
)
_COST = Counter("cairn_gateway_tenant_cost_total", "Cost by tenant.", ["tenant", "currency"])


class Watcher(Protocol):
    """Hears of what was added to the ledger."""

    async def added(self, batch: Sequence[UsageEvent]) -> None:
        """Looks at events that are now in the store."""
        ...


class Ledger:
    """Meters requests.

    Args:
        reader: For queries.
        writer: For events.
        prices: What usage costs.
        folder: Of the journals; None: events that are not in the store die with the process.
        kept_days: How long single events are kept; their sums stay.
        now: The time.
    """

    def __init__(
        self,
        reader: Reader,
        writer: GroupWriter,
        prices: PriceTable,
        *,
        folder: Path | None = None,
        kept_days: int = 35,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._folder = folder
        self._kept_days = kept_days
        self._now = now
        self._journal = Journal(folder) if folder is not None else None
        self._pending: list[UsageEvent] = []
        self._open: dict[str, Callable[[], UsageEvent]] = {}
        self._flushing = asyncio.Lock()
        self._has_gathered = asyncio.Event()
        self._is_doubtful = False
        self.prices = prices
        self.watcher: Watcher | None = None

    def metered(self, payer: Payer, operation: str, collection: str = "") -> Metered:
        """Meters the block as one request; the block gets its meter.

        A block that ends with an error counts when it consumed something.

        Args:
            payer: On whose account.
            operation: What it is.
            collection: What it is about; empty: no collection.
        """
        event_id = new_event_id(self._now())
        return Metered(Account(self, event_id, payer, operation, collection, current_trace_id()))

    def checkpoint(self, account: Account, meter: Meter) -> None:
        """Keeps what is known of a request so far, in case the process dies."""
        if self._journal is not None:
            self._open[account.event_id] = functools.partial(account.event, meter)
            self._journal.append(encode_event(account.event(meter)))

    def progress(self, account: Account, meter: Meter) -> None:
        """Keeps that more was written."""
        if self._journal is not None:
            self._journal.append(encode_progress(account.event_id, meter.writing.completion_tokens))

    def close(self, account: Account, meter: Meter, outcome: Outcome) -> None:
        """Adds a request that has ended."""
        self._open.pop(account.event_id, None)
        if outcome is Outcome.OK or meter.total != Usage():
            self._add(account.event(meter, outcome))

    def record(
        self, payer: Payer, operation: str, usage: Usage | None = None, collection: str = ""
    ) -> None:
        """Meters one request whose usage is known."""
        with self.metered(payer, operation, collection) as meter:
            meter.usage = usage or Usage()

    def _add(self, event: UsageEvent) -> None:
        if self._journal is not None:
            self._journal.append(encode_event(event))
        self._pending.append(event)
        if len(self._pending) == _GATHERED:  # later ones do not press a store that takes none
            self._has_gathered.set()
        series(_METERED, event.operation).inc()
        self._measure(event)
        is_much = len(self._pending) > _MAX_PENDING and self._journal is not None
        if is_much and self._leave_journal():
            # The journal has them all: memory need not, while the database is away.
            self._pending.clear()

    def _measure(self, event: UsageEvent) -> None:
        tenant = TENANTS.label(event.payer.tenant)
        usage = event.usage
        for kind, count in (
            ("embedding", usage.embedding_tokens),
            ("rerank", usage.rerank_tokens),
            ("prompt", usage.prompt_tokens - usage.cached_prompt_tokens),
            ("cached_prompt", usage.cached_prompt_tokens),
            ("completion", usage.completion_tokens),
        ):
            if count > 0:
                series(_TOKENS, tenant, kind).inc(count)
        if event.cost.total:
            series(_COST, tenant, self.prices.currency).inc(event.cost.total / 1e12)

    async def flush(self) -> None:
        """Writes what has gathered until now.

        What comes meanwhile is not waited for: under load it never ends, in ever smaller groups.

        Raises:
            ServiceError: the store does not take it; nothing is lost.
        """
        async with self._flushing:
            left = len(self._pending)
            while left > 0 and self._pending:
                batch = self._pending[: min(left, _BATCH)]
                left -= len(batch)
                is_repeated, self._is_doubtful = self._is_doubtful, True
                await self._writer.run(
                    lambda connection, batch=batch, again=is_repeated: sums.add_events(
                        connection, batch, is_repeated=again
                    )
                )
                self._is_doubtful = False
                gone = {each.event_id for each in batch}
                self._pending = [each for each in self._pending if each.event_id not in gone]
                if self.watcher is not None:
                    await self.watcher.added(batch)
            _PENDING.set(len(self._pending))
            if self._journal is not None and self._journal.size_bytes > _ROTATE_BYTES:
                self._move_journal()

    def _move_journal(self) -> None:
        """Begins another journal with what is under way and what is not in the store yet.

        Under load something always came meanwhile. The old journal is not left behind for its sake:
        reading thousands of events again holds requests up for a tenth of a second.
        """
        if len(self._pending) > _BATCH:
            self._leave_journal()
            return
        old = self._begin_journal()
        if old is None:
            return
        assert self._journal is not None
        if all(self._journal.append(encode_event(each)) for each in self._pending):
            old.remove()
        else:
            self._leave(old)

    def _leave_journal(self) -> bool:
        """Begins another journal, and leaves the old one to whoever brings its events home.

        Returns:
            Whether the disk took another one.
        """
        old = self._begin_journal()
        if old is not None:
            self._leave(old)
        return old is not None

    def _leave(self, old: Journal) -> None:
        for event_id in self._open:
            old.append(encode_progress(event_id, MOVED))
        old.abandon()

    def _begin_journal(self) -> Journal | None:
        """Begins another journal with what is under way.

        Returns:
            The one before it. None: the disk takes no other, and that one stays, with all it has.
        """
        assert self._journal is not None
        assert self._folder is not None
        try:
            fresh = Journal(self._folder)
        except OSError:
            return None
        if not all(fresh.append(encode_event(event())) for event in self._open.values()):
            fresh.remove()
            return None
        old, self._journal = self._journal, fresh
        return old

    async def adopt(self) -> int:
        """Brings home the events of processes that are gone; returns how many were missing.

        Raises:
            ServiceError: the store does not take them; they stay where they are.
        """
        if self._folder is None:
            return 0
        added = 0
        for path in await asyncio.to_thread(
            lambda folder: sorted(folder.glob("*.journal")), self._folder
        ):
            added += await self._adopt(path)
        if added:
            _ADOPTED.inc(added)
            get_logger().info("usage of a gateway that died brought home", count=added)
        return added

    async def _adopt(self, path: Path) -> int:
        if self._journal is not None and path == self._journal.path:
            return 0
        with orphan(path) as file:
            if file is None:
                return 0
            found = await asyncio.to_thread(read_events, file, self.prices.parts)
            added = 0
            for start in range(0, len(found), _BATCH):
                batch = found[start : start + _BATCH]
                fresh = await self._writer.run(
                    lambda connection, batch=batch: sums.add_events(
                        connection, batch, is_repeated=True
                    )
                )
                added += len(fresh)
                if self.watcher is not None:
                    await self.watcher.added(fresh)
            await asyncio.to_thread(path.unlink, missing_ok=True)
        return added

    async def rows(
        self, which: sums.UsageFilter, group_by: Sequence[str] = ("day", "operation")
    ) -> tuple[sums.UsageSum, ...]:
        """Returns sums by some dimensions, in their order."""
        await self.flush()
        return await self.stored_rows(which, group_by)

    async def stored_rows(
        self, which: sums.UsageFilter, group_by: Sequence[str]
    ) -> tuple[sums.UsageSum, ...]:
        """Returns sums of what is in the store already."""
        return await self._reader.run(
            lambda connection: sums.read_sums(connection, which, group_by)
        )

    async def stored_total(self, which: sums.UsageFilter) -> sums.UsageSum:
        """Returns one sum over what is in the store already."""
        return (await self.stored_rows(which, ()))[0]

    async def total(self, which: sums.UsageFilter) -> sums.UsageSum:
        """Returns one sum over everything that is meant."""
        return (await self.rows(which, ()))[0]

    async def events(
        self, which: sums.UsageFilter, before_id: str, count: int
    ) -> tuple[UsageEvent, ...]:
        """Returns single events, the latest first."""
        await self.flush()
        first = first_event_id(_midnight(which.from_day))
        end = first_event_id(_midnight(which.to_day) + timedelta(days=1))
        before = min(before_id, end) if before_id else end
        return await self._reader.run(
            lambda connection: sums.read_events(connection, which, first, before, count)
        )

    async def check(self, tenant: str) -> tuple[str, tuple[str, ...]]:
        """Compares sums with events: the first day compared, and the days that differ."""
        await self.flush()
        today = self._now().strftime("%Y-%m-%d")
        # A day that is being forgotten has lost some of its events.
        whole = (self._now() - timedelta(days=self._kept_days - 1)).strftime("%Y-%m-%d")

        def compare(connection: sums.Connection) -> tuple[str, tuple[str, ...]]:
            first = max(sums.first_kept_day(connection, tenant) or today, whole)
            return first, sums.differing_days(connection, tenant, first)

        return await self._reader.run(compare)

    async def purge(self) -> None:
        """Forgets single events that are older than they are kept."""
        before = first_event_id(self._now() - timedelta(days=self._kept_days))
        count = 1
        while count:
            # One transaction each, so that others write in between.
            count = await self._writer.run(
                lambda connection: sums.purge_events(connection, before), frees_space=True
            )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flushes regularly while the block runs, and once more at its end."""
        tasks = (
            (FLUSH_SECONDS, self.flush, self._has_gathered),
            (ADOPT_SECONDS, self.adopt, asyncio.Event()),
            (PURGE_SECONDS, self.purge, asyncio.Event()),
        )
        with contextlib.suppress(ServiceError):
            await self.adopt()
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_regularly(*each)) for each in tasks]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
        with contextlib.suppress(ServiceError):
            await self.flush()
        if self._journal is not None:
            if self._pending:
                self._journal.abandon()
            else:
                self._journal.remove()


async def _regularly(seconds: float, work: Callable[[], object], is_due: asyncio.Event) -> None:
    """Works every so many seconds, and sooner when it is due."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await is_due.wait()
        is_due.clear()
        try:
            await work()  # pyright: ignore[reportGeneralTypeIssues]
        except ServiceError as error:
            get_logger().warning("usage not written yet", reason=error.reason.value)
        except OSError as error:
            get_logger().warning("journals of usage cannot be looked at", error=error.strerror)


def _midnight(day: str) -> datetime:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)


def is_event_id(text: str) -> bool:
    """Whether a text may be the identifier of an event."""
    return len(text) == 32 and all(each in "0123456789abcdef" for each in text)
