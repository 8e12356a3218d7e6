"""Writes the audit log: changes before they are answered, accesses a moment later."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import prometheus_client

from services.gateway.audit.chain import AuditEvent
from services.gateway.audit.trail import Trail, open_trail
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import DeadlineExceededError, Reason, ServiceError, UnavailableError
from services.rpc.logs import get_logger
from services.rpc.metrics import series

if TYPE_CHECKING:
    from services.gateway.identity.caller import Caller
    from services.gateway.store.audit_store import AuditStore

FLUSH_SECONDS = 0.5
"""Accesses gather this long, so that none waits for the disk on their account. A gateway that is
killed loses those of this time; changes are on the disk before they are answered."""

_GATHERED = 100
"""Entries that are written without waiting longer: writing many at once holds requests up."""

MAX_WAITING = 50_000
"""Entries that wait for a store that does not take them; then no request is served any more."""

WAIT_SECONDS = 10.0
"""Longest wait of a change for its entry."""

_AT_ONCE = 5_000
_PRUNE_SECONDS = 3_600.0
_ENTRIES = prometheus_client.Counter(
    "cairn_gateway_audit_entries_total", "Entries written to the audit log.", ["surface"]
)
_WAITING = prometheus_client.Gauge(
    "cairn_gateway_audit_waiting_entries", "Audit entries that are not on the disk yet."
)


class AuditLog:
    """Takes what happened and writes it.

    Args:
        store: Where entries go.
        retention: Older entries are removed; None: none are.
        now: The time.
    """

    def __init__(
        self,
        store: AuditStore,
        retention: timedelta | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self._retention = retention
        self.now = now
        self._waiting: list[AuditEvent] = []
        self._refused: Counter[str] = Counter()
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    def follow(self, caller: Caller, surface: str, trace_id: str) -> Followed:
        """Begins the trail of a request.

        Raises:
            UnavailableError: too much waits to be written: what cannot be noted is not done.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise UnavailableError(
                Reason.DEPENDENCY_UNAVAILABLE,
                "the audit log cannot be written",
                metadata={"stage": "audit"},
                retry_after_seconds=1.0,
            )
        return Followed(self, caller, surface, trace_id)

    def note_refused(self, kind: str) -> None:
        """Notes a credential that opened nothing; they are counted, so that none can flood us."""
        self._refused[kind] += 1

    def record(self, event: AuditEvent) -> None:
        """Takes an entry; it is on the disk at the latest `FLUSH_SECONDS` later."""
        self._waiting.append(event)
        if len(self._waiting) == _GATHERED:  # later ones do not press a store that takes none
            self._wake.set()

    async def commit(self, event: AuditEvent) -> None:
        """Takes an entry and waits until it is on the disk, with all before it.

        Raises:
            ServiceError: the store does not take it; it stays, and is tried again.
        """
        self._waiting.append(event)
        await self.flush()

    async def flush(self) -> None:
        """Waits until what was taken so far is on the disk; `running` is what writes it.

        Raises:
            ServiceError: the store does not take it, or not within the request's deadline; nothing
                is lost.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(written)
        self._wake.set()
        left = remaining_seconds()
        try:
            async with asyncio.timeout(WAIT_SECONDS if left is None else min(WAIT_SECONDS, left)):
                await written
        except TimeoutError:
            raise DeadlineExceededError(
                Reason.DEADLINE_EXCEEDED,
                "what was done could not be noted in time; it is noted later",
                metadata={"stage": "audit"},
            ) from None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Writes while the block runs, and once more at its end."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write_regularly())]
            if self._retention is not None:
                tasks.append(group.create_task(self._prune_regularly(self._retention)))
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
        await self._serve_waiters()

    async def _write_regularly(self) -> None:
        """Writes what waits: regularly, and whenever somebody waits for it.

        Nobody else writes, so a request that is given up can leave nothing half done.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if not (self._waiting or self._waiters or self._refused):
                continue
            writing = asyncio.ensure_future(self._serve_waiters())
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing
                raise

    async def _serve_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        failure: ServiceError | None = None
        try:
            await self._write()
        except ServiceError as error:
            failure = error
            get_logger().warning("audit not written yet", reason=error.reason.value)
        _WAITING.set(len(self._waiting))
        for each in waiters:
            if each.done():
                continue
            if failure is None:
                each.set_result(None)
            else:
                each.set_exception(failure)

    async def _write(self) -> None:
        """Writes what waits now.

        What comes meanwhile is not waited for: under load it never ends, and neither changes that
        wait for their entries nor other gateways would get a turn.
        """
        self._count_refused()
        left = len(self._waiting)
        while left:
            taken = self._waiting[: min(left, _AT_ONCE)]
            await self.store.append(taken)
            del self._waiting[: len(taken)]
            left -= len(taken)
            for surface, count in Counter(each.surface for each in taken).items():
                series(_ENTRIES, surface or "none").inc(count)

    def _count_refused(self) -> None:
        refused, self._refused = self._refused, Counter()
        for kind, count in refused.items():
            self._waiting.append(
                AuditEvent(
                    tenant="",
                    at=self.now(),
                    actor="",
                    action="authenticate",
                    outcome=Reason.CREDENTIAL_INVALID.value,
                    surface="",
                    details={"kind": kind, "count": count},
                )
            )

    async def _prune_regularly(self, retention: timedelta) -> None:
        while True:
            count = 0
            try:
                count = await self.store.prune(self.now() - retention)
            except ServiceError as error:
                get_logger().warning("audit not pruned", reason=error.reason.value)
            await asyncio.sleep(FLUSH_SECONDS if count else _PRUNE_SECONDS)


class Followed:
    """One request that is being served.

    Args:
        log: Where it is written.
        caller: Who asks.
        surface: The way it came.
        trace_id: Its trace.
    """

    def __init__(self, log: AuditLog, caller: Caller, surface: str, trace_id: str) -> None:
        self._log = log
        self._caller = caller
        self._surface = surface
        self._trace_id = trace_id
        self._trail: Trail = open_trail()
        self._is_written = False

    async def before_answer(self, fallback: str = "ok") -> None:
        """Writes the entry of a change; the answer goes out after it.

        Args:
            fallback: Outcome, unless a reason was noted.

        Raises:
            ServiceError: it could not be written.
        """
        if self._trail.is_change and not self._is_written:
            self._is_written = True
            await self._log.commit(self._event(fallback))

    def end(self, fallback: str = "ok") -> None:
        """Takes the entry of anything else. A request that asked for nothing leaves none."""
        if self._trail.actions and not self._is_written:
            self._is_written = True
            self._log.record(self._event(fallback))

    def _event(self, fallback: str) -> AuditEvent:
        trail, caller = self._trail, self._caller
        details = dict(trail.details)
        if len(trail.actions) > 1:
            details["actions"] = ",".join(trail.actions)
        if caller.user_id and not caller.key_id.startswith("user:"):
            details["key"] = caller.key_id
        return AuditEvent(
            tenant=caller.scope.tenant,
            at=self._log.now(),
            actor=caller.scope.actor,
            action=trail.actions[0],
            outcome=trail.outcome or fallback,
            surface=self._surface,
            collection=trail.collection,
            trace_id=self._trace_id,
            subjects=tuple(trail.subjects),
            details=details,
        )
