"""What admins may do with the audit log: list, export, check."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from services.gateway.audit.trail import note_subjects
from services.gateway.identity.permissions import Operation
from services.gateway.identity.tenancy import is_home, managed_tenant
from services.gateway.pages import Page, page_size_of
from services.gateway.store.audit_store import AuditQuery
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError, PermissionDeniedError, Reason

if TYPE_CHECKING:
    from services.gateway.audit.chain import AuditEntry
    from services.gateway.audit.log import AuditLog
    from services.gateway.identity.caller import Caller

MAX_CHECKED = 20_000
"""Entries that one request checks; the next goes on from its checkpoint."""

_EXPORT_CHUNK = 500
_KINDS = ("document", "query", "user", "group", "role")


@dataclass(frozen=True, slots=True)
class AuditAsk:
    """Which entries are asked for; empty fields: any."""

    tenant: str = ""
    of_installation: bool = False
    """Whether the installation's own chain is meant, which keeps refused credentials."""
    actor: str = ""
    action: str = ""
    outcome: str = ""
    subject: str = ""
    """"kind:text" in plain: only its keyed hash is looked for."""
    from_time: datetime | None = None
    to_time: datetime | None = None
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check found."""

    is_intact: bool
    is_complete: bool
    """Whether the end of the chain was reached; else go on from the checkpoint."""
    entry_count: int
    checkpoint: str
    """"SEQ:HASH" of the last entry that was checked."""
    broken_seq: int
    """First broken link; 0: none."""
    problem: str


class AuditDesk:
    """Reads the log.

    Args:
        log: The log.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._store = log.store

    async def list_entries(self, caller: Caller, ask: AuditAsk) -> Page[AuditEntry]:
        """Returns a page of entries, newest first."""
        caller.require(Operation.READ_AUDIT)
        tenant = _chain(caller, ask.tenant, of_installation=ask.of_installation)
        size = page_size_of(ask.page_size)
        for name in ("actor", "action", "outcome"):
            check_text(name, getattr(ask, name), limit=264)
        query = AuditQuery(
            tenant=tenant,
            actor=ask.actor,
            action=ask.action,
            outcome=ask.outcome,
            from_time=ask.from_time,
            to_time=ask.to_time,
            subject_hashes=self._subject(tenant, ask.subject),
            before_seq=_before(ask.page_token),
        )
        await self._log.flush()
        found = await self._store.find(query, size + 1)
        token = str(found[size - 1].seq) if len(found) > size else ""
        return Page(found[:size], token)

    async def export(
        self, caller: Caller, tenant: str = "", *, of_installation: bool = False
    ) -> AsyncIterator[AuditEntry]:
        """Returns all entries of a chain in order, as they are stored."""
        caller.require(Operation.READ_AUDIT)
        chain = _chain(caller, tenant, of_installation=of_installation)
        await self._log.flush()
        return self._all(chain)

    async def verify(
        self, caller: Caller, tenant: str = "", after: str = "", *, of_installation: bool = False
    ) -> AuditReport:
        """Checks a chain, up to `MAX_CHECKED` entries of it.

        Args:
            caller: Who asks.
            tenant: Whose chain; empty: the caller's own.
            after: Checkpoint to go on from, which the chain must still hold; empty: its beginning.
            of_installation: Whether the installation's own chain is meant.
        """
        caller.require(Operation.READ_AUDIT)
        chain = _chain(caller, tenant, of_installation=of_installation)
        seq, known_hash = _checkpoint(after)
        await self._log.flush()
        walk = await self._store.begin(chain)
        if seq > walk.seq:
            held = await self._store.read(chain, seq - 1, 1)
            if not held or held[0].seq != seq or held[0].hash != known_hash:
                walk.broken_seq = seq
                walk.problem = "the chain does not hold the checkpoint: it was cut or written anew"
            walk.seq, walk.last = seq, known_hash
        is_complete = False
        while not walk.broken_seq and not is_complete and walk.count < MAX_CHECKED:
            is_complete = await self._store.verify_on(walk)
        return AuditReport(
            is_intact=not walk.broken_seq,
            is_complete=is_complete or bool(walk.broken_seq),
            entry_count=walk.count,
            checkpoint=f"{walk.seq}:{walk.last}",
            broken_seq=walk.broken_seq,
            problem=walk.problem,
        )

    async def _all(self, chain: str) -> AsyncIterator[AuditEntry]:
        last = 0
        while found := await self._store.read(chain, last, _EXPORT_CHUNK):
            for entry in found:
                yield entry
            last = found[-1].seq

    def _subject(self, tenant: str, subject: str) -> tuple[str, ...]:
        if not subject:
            return ()
        kind, _, text = subject.partition(":")
        check_text("subject", text, limit=100_000, required=True)
        if kind not in _KINDS:
            raise InvalidArgumentError.for_field(
                "subject", f"must be KIND:TEXT, KIND being one of {', '.join(_KINDS)}"
            )
        note_subjects(kind, (text,))
        return self._store.keys.subjects(tenant, kind, text)


def _chain(caller: Caller, tenant: str, *, of_installation: bool) -> str:
    if not of_installation:
        return managed_tenant(caller, tenant)
    if tenant:
        raise InvalidArgumentError.for_field("tenant", "belongs to no entry of the installation")
    if not is_home(caller):
        raise PermissionDeniedError(
            Reason.ROLE_REQUIRED, "only admins of the home tenant read the installation's entries"
        )
    return ""


def _before(token: str) -> int:
    if not token:
        return 0
    if not token.isdecimal() or not token.isascii() or len(token) > 18:
        raise InvalidArgumentError.for_field(
            "page_token", "is not one this list returned", Reason.INVALID_PAGE_TOKEN
        )
    return max(1, int(token))


def _checkpoint(text: str) -> tuple[int, str]:
    if not text:
        return 0, ""
    seq, _, last = text.partition(":")
    is_hash = len(last) == 64 and all(digit in "0123456789abcdef" for digit in last)
    if not (seq.isascii() and seq.isdecimal()) or len(seq) > 18 or not is_hash:
        raise InvalidArgumentError.for_field("after", "must be a checkpoint, SEQ:HASH")
    return int(seq), last
