"""How a caller wants texts embedded, numbered as the contract numbers it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class InputKind(enum.IntEnum):
    """What a text is used for; models with prompts treat the two differently."""

    QUERY = 1
    DOCUMENT = 2


class Lane(enum.IntEnum):
    """Which queue work waits in. Interactive work goes first; bulk work ages and never starves."""

    INTERACTIVE = 1
    BULK = 2


class Truncation(enum.IntEnum):
    """What happens to a text over the model's limit."""

    END = 1
    REFUSE = 2


class ElementType(enum.IntEnum):
    """Layout of the numbers of a vector."""

    FLOAT32 = 1
    FLOAT16 = 2
    INT8 = 3
    BINARY = 4


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """Options of one request."""

    model: str = ""
    """Name of a loaded model; empty for the default one."""
    kind: InputKind = InputKind.DOCUMENT
    lane: Lane = Lane.BULK
    truncation: Truncation = Truncation.END
    dimensions: int = 0
    """Leading dimensions to keep; 0 keeps all."""
    is_normalized: bool = True
    """Whether vectors are scaled to length 1."""
    element_type: ElementType = ElementType.FLOAT32
    with_token_codes: bool = False
    """Whether texts get token codes from the same pass, where the model gives token vectors."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What scheduling and caching need to know of who asks."""

    tenant: str
    """Caches and coalescing never cross tenants: a hit would tell what another one embedded."""
    deadline: float | None = None
    """`time.monotonic()` after which nobody waits for the answer."""
    weight: float = 1.0
    """Share of its tenant where many wait."""
