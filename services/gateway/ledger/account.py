"""One request's account: what the ledger knows of it, and the block in which it is metered."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.gateway.ledger.events import Outcome, Payer, UsageEvent
from services.gateway.usage import RUNNING, Meter

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from services.gateway.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of a request before it has used anything. It does not refer to its meter."""

    ledger: Ledger
    event_id: str
    payer: Payer
    operation: str
    collection: str
    trace_id: str
    """Known from the beginning: others may write its event down, in traces of their own."""

    def event(self, meter: Meter, outcome: Outcome = Outcome.INTERRUPTED) -> UsageEvent:
        """Returns the event of what was used."""
        usage = meter.total
        return UsageEvent(
            event_id=self.event_id,
            payer=self.payer,
            collection=self.collection,
            operation=self.operation,
            outcome=outcome,
            model=meter.model,
            trace_id=self.trace_id,
            usage=usage,
            document_count=meter.document_count,
            byte_count=meter.byte_count,
            vector_count=meter.vector_count,
            is_estimated=meter.is_estimated,
            cost=self.ledger.prices.parts(usage, meter.model),
        )

    def checkpoint(self, meter: Meter) -> None:
        """Keeps what is known so far."""
        self.ledger.checkpoint(self, meter)

    def progress(self, meter: Meter) -> None:
        """Keeps that more was written."""
        self.ledger.progress(self, meter)


class Metered:
    """The block of a request; a class, because every request pays for it."""

    __slots__ = ("_account", "_meter", "_token")

    _token: Token[Meter | None]

    def __init__(self, account: Account) -> None:
        self._account = account
        self._meter = Meter(account.checkpoint, account.progress)

    def __enter__(self) -> Meter:
        self._token = RUNNING.set(self._meter)
        return self._meter

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc is None:
            outcome = Outcome.OK
        else:
            outcome = Outcome.FAILED if isinstance(exc, Exception) else Outcome.CANCELLED
        with contextlib.suppress(ValueError):  # a stream may be closed by another task
            RUNNING.reset(self._token)
        account = self._account
        self._meter.end(lambda meter: account.ledger.close(account, meter, outcome))
