"""One metered request, and its line in a journal."""

from __future__ import annotations

import enum
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import to_json

from services.gateway.usage import COST_VALUES, USAGE_VALUES, CostParts, Usage

MOVED = -1
"""In place of a progress: the request goes on in another journal."""


class Outcome(enum.StrEnum):
    """How a metered request ended."""

    OK = "ok"
    FAILED = "failed"
    """It consumed something and was answered with an error."""
    CANCELLED = "cancelled"
    """Its caller went away."""
    INTERRUPTED = "interrupted"
    """Its gateway died; what it had consumed until then is counted."""


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account something is used."""

    tenant: str
    user: str
    """Stable identifier of the person or key that acts: "user:ID" or "key:ID"."""
    key_id: str


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What one request used."""

    event_id: str
    """32 hexadecimal digits, in the order of time."""
    payer: Payer
    collection: str
    operation: str
    outcome: Outcome
    model: str
    trace_id: str
    usage: Usage
    document_count: int
    byte_count: int
    vector_count: int
    is_estimated: bool
    cost: CostParts

    @property
    def at(self) -> datetime:
        """When the request began, to the millisecond."""
        return datetime.fromtimestamp(int(self.event_id[:12], 16) / 1e3, UTC)

    @property
    def day(self) -> str:
        """UTC day that it counts for, "YYYY-MM-DD"."""
        return self.at.strftime("%Y-%m-%d")


def new_event_id(now: datetime) -> str:
    """Returns a fresh identifier that begins with the time."""
    # Unique and no secret: the system's random numbers would cost a switch of threads.
    return f"{first_event_id(now)}{random.getrandbits(80):020x}"


def first_event_id(moment: datetime) -> str:
    """Returns what identifiers of that moment begin with."""
    return f"{int(moment.timestamp() * 1e3):012x}"


def encode_event(event: UsageEvent) -> bytes:
    """Returns the line of an event."""
    payer = event.payer
    return _line(
        [
            event.event_id,
            payer.tenant,
            payer.user,
            payer.key_id,
            event.collection,
            event.operation,
            event.outcome.value,
            event.model,
            event.trace_id,
            USAGE_VALUES(event.usage),
            event.document_count,
            event.byte_count,
            event.vector_count,
            event.is_estimated,
            COST_VALUES(event.cost),
        ]
    )


def encode_progress(event_id: str, completion_tokens: int) -> bytes:
    """Returns the line that says how far an answer is."""
    return b'["%s",%d]\n' % (event_id.encode(), completion_tokens)


def decode_line(line: bytes) -> UsageEvent | tuple[str, int] | None:
    """Returns an event or a progress; None for a line that was cut off."""
    try:
        parts = json.loads(line)
        if len(parts) == 2:
            return str(parts[0]), int(parts[1])
        return UsageEvent(
            event_id=parts[0],
            payer=Payer(*parts[1:4]),
            collection=parts[4],
            operation=parts[5],
            outcome=Outcome(parts[6]),
            model=parts[7],
            trace_id=parts[8],
            usage=Usage(*parts[9]),
            document_count=parts[10],
            byte_count=parts[11],
            vector_count=parts[12],
            is_estimated=parts[13],
            cost=CostParts(*parts[14]),
        )
    except (ValueError, TypeError, LookupError):
        return None


def _line(parts: list[object]) -> bytes:
    return to_json(parts) + b"\n"
