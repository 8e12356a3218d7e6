"""Gauges of this process: what it knows of the shared ones, and how it goes on without them.

A bucket has a level that refills; a counter has what was used and what is reserved. While the
shared gauges answer, the numbers here are theirs. While they do not, this process takes its share
(1/replicas) of what was left and counts by itself; what it took is reported when they are back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.limits.rules import Limit

_LONGEST_RETRY_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A reservation, which ends by itself when nobody settles it."""

    lease_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of one limit."""

    limit: Limit
    gauge: str
    amount: float
    """0: only a look."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a gauge said."""

    limit: Limit
    is_allowed: bool
    remaining: float
    """May be negative where a limit does not bite."""
    reset_seconds: float
    """Until the gauge is full again; 0: when what is under way ends."""
    retry_after_seconds: float
    """Until as much as was asked may pass; 0: now."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of one gauge."""

    gauge: str
    is_bucket: bool
    amount: float
    capacity: float
    per_second: float
    is_enforced: bool
    generation: str = ""
    """The one this process knows; "": none."""
    debt: float = 0.0
    """What this process took on its own, if the gauge is that one still."""
    how: str = ""
    """What another generation is to be told: "owed", "level" or "used"; "": nothing."""
    hint: float = 0.0
    seed: float | None = None
    """What a counter begins with; None: not known, the gauge then asks for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one gauge answered."""

    is_allowed: bool
    value: float
    reserved: float
    generation: str


@dataclass(slots=True)
class Bucket:
    """A level that refills.

    `idle` is the level as it would be had this process taken nothing on its own: the difference is
    what it owes to the shared bucket.
    """

    level: float
    at: float
    """Monotonic seconds of `level` and `idle`."""
    idle: float = 0.0
    generation: str = ""
    """Name that the shared bucket got when it was made; "": never seen."""
    share: int = 0
    """Replicas that the level is one share of; 0: it is the whole."""
    is_reporting: bool = False

    def refill(self, limit: Limit, now: float) -> None:
        """Lets time pass."""
        share = self.share or 1
        most = self.most(limit)
        gained = max(0.0, now - self.at) * limit.per_second / share
        self.level = min(most, self.level + gained)
        self.idle = min(most, self.idle + gained)
        self.at = now

    def most(self, limit: Limit) -> float:
        """Returns the level of the full bucket; a share is one at least."""
        return max(1.0, limit.capacity / self.share) if self.share else limit.capacity

    def go_alone(self, limit: Limit, replicas: int, now: float) -> None:
        """Takes this process's share of what is left, and counts by itself from now on."""
        self.refill(limit, now)
        if not self.share:
            self.share = replicas
            self.level = self.idle = self.level / replicas

    def follow(self, value: float, generation: str, now: float) -> None:
        """Takes over what the shared bucket says."""
        self.level = self.idle = value
        self.generation, self.at, self.share = generation, now, 0

    def has(self, amount: float, limit: Limit) -> bool:
        """Whether the amount is there. More than the whole passes when the bucket is full."""
        return not amount or self.level >= min(amount, max(1.0, self.most(limit)))

    def reading(self, limit: Limit, amount: float, *, is_allowed: bool) -> Reading:
        """Returns what the level says."""
        rate = max(1e-9, limit.per_second / (self.share or 1))
        lacking = max(0.0, min(amount, max(1.0, self.most(limit))) - self.level)
        retry = 0.0 if is_allowed else min(_LONGEST_RETRY_SECONDS, max(0.001, lacking / rate))
        reset = min(_LONGEST_RETRY_SECONDS, max(0.0, self.most(limit) - self.level) / rate)
        return Reading(limit, is_allowed, self.level, reset, retry)


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation that this process holds."""

    amount: float
    end: float
    """Monotonic seconds."""
    is_shared: bool
    """Whether the shared counter knows of it."""


@dataclass(slots=True)
class Counter:
    """What was used in a window, and what is reserved.

    `used` and `reserved` are the shared figures; `spent` is what this process added on its own.
    """

    used: float = 0.0
    reserved: float = 0.0
    """By all replicas, this one included."""
    spent: float = 0.0
    generation: str = ""
    is_seeded: bool = False
    """Whether `used` is known."""
    share: int = 0
    leases: dict[str, Held] = field(default_factory=dict)
    """Reservations of this process."""
    is_reporting: bool = False

    def drop_ended(self, now: float) -> None:
        """Forgets reservations that ended."""
        for lease_id in [each for each, held in self.leases.items() if held.end <= now]:
            del self.leases[lease_id]

    def go_alone(self, replicas: int) -> None:
        """Counts by itself from now on."""
        self.share = self.share or replicas

    def follow(self, used: float, reserved: float, generation: str) -> None:
        """Takes over what the shared counter says."""
        self.used, self.reserved, self.generation = used, reserved, generation
        self.is_seeded, self.share = True, 0

    @property
    def own(self) -> float:
        """What this process has reserved."""
        return sum(held.amount for held in self.leases.values())

    def left(self, limit: Limit) -> float:
        """Returns what may still be used; while alone, of this process's share."""
        if not self.share:
            return limit.capacity - self.used - max(self.reserved, self.own) - self.spent
        whole = max(0.0, limit.capacity - self.used)
        part = whole if self.share == 1 else max(min(1.0, whole), whole // self.share)
        return part - self.spent - self.own

    def reading(self, limit: Limit, reset_seconds: float, *, is_allowed: bool) -> Reading:
        """Returns what the counter says."""
        retry = 0.0 if is_allowed else reset_seconds or 1.0
        return Reading(limit, is_allowed, self.left(limit), reset_seconds, retry)
