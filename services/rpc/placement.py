"""Which replica a request goes to, so that it finds its prompt's beginning in that replica's cache.

Requests with equal keys go to one replica: the one they went to lately, else the one a consistent
hash names, so that callers which share nothing agree. Neither may have more than its share of the
load; then the least loaded one takes the request, and the key is remembered for both. Keys that
many ask for so spread over several replicas, and the rest stay where they are.

Caches fill up with keys, not with requests, so no replica may have many more keys than the others
either: one that has gives a key away when it is asked for again after so many others that it is
hardly cached any more. That is how a replica that is back gets work beside the popular keys.

Load is in tokens: those on their way, and those of the latest requests, forgotten by half for each
`half_life_seconds`. The second part makes replicas level over time, where the first one is zero
between requests.

Consistent hashing with bounded loads: Mirrokni, Thorup and Zadimoghaddam, 2018 (arXiv:1608.01350).
"""

from __future__ import annotations

import bisect
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

_POINTS = 64
"""Of each replica on the ring: shares differ by about an eighth."""
_NEW_KEY_SLACK = 1.1
"""Bound for keys that are not remembered: moving those costs nothing, so they level the load."""
_MORE_NEW_KEYS = 1.5
"""How many more keys than the mean, and two, a replica may have before it gets no new ones."""
_MORE_STALE_KEYS = 1.1
"""How many more than the mean, and one, before it gives stale ones away."""


def placement_key(*parts: str) -> bytes:
    """Returns a key of texts, which are told apart whatever is in them."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.digest()


@dataclass(slots=True)
class _Load:
    """What a replica has been given."""

    running_tokens: float = 0.0
    recent_tokens: float = 0.0
    since: float = 0.0
    keys: int = 0
    """Remembered keys that went there last."""
    turns: int = 0
    """Requests with a key, ever."""

    def at(self, now: float, half_life_seconds: float) -> float:
        """Tokens on their way and lately sent."""
        self.recent_tokens *= 0.5 ** ((now - self.since) / half_life_seconds)
        self.since = now
        return self.running_tokens + self.recent_tokens


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a key went."""

    replicas: tuple[str, ...]
    """The latest first."""
    turn: int
    """The latest one's `turns` then."""


class Placed:
    """A request at a replica; `end` frees its tokens."""

    __slots__ = ("_placement", "replica", "tokens", "was_remembered")

    def __init__(
        self, placement: Placement, replica: str, tokens: float, *, was_remembered: bool
    ) -> None:
        self._placement: Placement | None = placement
        self.replica = replica
        self.tokens = tokens
        self.was_remembered = was_remembered
        """Whether the key went to this replica before."""

    def end(self) -> None:
        """The request has ended; further calls change nothing."""
        if self._placement is not None:
            self._placement.release(self)
            self._placement = None


class Placement:
    """See the module's text. Not safe for several threads.

    Args:
        slack: How much more than its even share a replica may have, as a factor.
        slack_tokens: What it may have beyond it in any case: a few requests, so that the first ones
            are not torn from their places by a load that is none.
        remembered_keys: Keys whose replicas are remembered; the least used are forgotten.
        places_per_key: Replicas remembered for one key.
        half_life_seconds: See the module's text.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        slack: float = 1.25,
        slack_tokens: float = 3_000.0,
        remembered_keys: int = 10_000,
        places_per_key: int = 2,
        half_life_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if slack < 1 or remembered_keys < 1 or places_per_key < 1:
            raise ValueError("slack, remembered_keys and places_per_key must be 1 or more")
        self._slack = slack
        self._slack_tokens = slack_tokens
        self._remembered_keys = remembered_keys
        self._places_per_key = places_per_key
        self._half_life_seconds = half_life_seconds
        self._clock = clock
        self._loads: dict[str, _Load] = {}
        self._absent: set[str] = set()
        """Replicas that could not be used the last time."""
        self._ring: list[tuple[int, str]] = []
        self._places: OrderedDict[bytes, _Place] = OrderedDict()

    def set_replicas(self, replicas: Iterable[str]) -> None:
        """Says which replicas there are; what is known of those that stay is kept."""
        wanted = set(replicas)
        if wanted == self._loads.keys():
            return
        now = self._clock()
        known = [load.at(now, self._half_life_seconds) for load in self._loads.values()]
        # A newcomer begins level with the others: it must not get all requests until it is.
        usual = sum(known) / len(known) if known else 0.0
        self._loads = {
            each: self._loads.get(each) or _Load(recent_tokens=usual, since=now)
            for each in sorted(wanted)
        }
        for load in self._loads.values():
            load.keys = 0
        for place in self._places.values():
            self._count_key(place, 1)
        self._ring = sorted(
            (int.from_bytes(placement_key(each, str(point))[:8]), each)
            for each in wanted
            for point in range(_POINTS)
        )

    def place(self, key: bytes | None, tokens: float, usable: Collection[str]) -> Placed | None:
        """Chooses a replica and counts the request's tokens as its load.

        Args:
            key: Of the prompt's beginning; None: the least loaded replica takes it.
            tokens: What the request costs about; at least 1.
            usable: Replicas that can serve now.

        Returns:
            Where it goes, or None when no known replica is usable.
        """
        now = self._clock()
        loads = {
            each: load.at(now, self._half_life_seconds)
            for each, load in self._loads.items()
            if each in usable
        }
        if not loads:
            return None
        self._level(loads)
        tokens = max(1.0, tokens)
        if key is None:
            chosen, was_remembered = min(loads, key=loads.__getitem__), False
        else:
            chosen, was_remembered = self._chosen(key, tokens, loads)
            self._remember(key, chosen)
        load = self._loads[chosen]
        load.running_tokens += tokens
        return Placed(self, chosen, tokens, was_remembered=was_remembered)

    def _chosen(self, key: bytes, tokens: float, loads: dict[str, float]) -> tuple[str, bool]:
        """Returns where a key goes, and whether it has been there before."""
        least = min(loads, key=loads.__getitem__)
        share = (sum(loads.values()) + tokens) / len(loads)
        bound = max(self._slack * share, share + self._slack_tokens)
        roomy = [each for each, load in loads.items() if load + tokens <= bound] or [least]
        fewest = min(roomy, key=lambda each: self._loads[each].keys)
        mean_keys = sum(self._loads[each].keys for each in loads) / len(loads)
        place = self._places.get(key)
        if place is None:
            owner = self._owner(key, loads.keys())
            if loads[owner] > _NEW_KEY_SLACK * share:
                return least, False
            has_many = self._loads[owner].keys > _MORE_NEW_KEYS * mean_keys + 2
            return (fewest if has_many else owner), False
        known = [each for each in place.replicas if each in roomy]
        if not known:
            return least, False
        latest = known[0]  # taking turns would fill both caches with it
        load = self._loads[latest]
        if (
            latest == place.replicas[0]
            and load.keys > _MORE_STALE_KEYS * mean_keys + 1
            and load.turns - place.turn >= load.keys
        ):
            latest = fewest
        return latest, latest in place.replicas

    def release(self, placed: Placed) -> None:
        """Frees the tokens of a request that has ended."""
        load = self._loads.get(placed.replica)
        if load is None:
            return
        load.at(self._clock(), self._half_life_seconds)
        load.running_tokens = max(0.0, load.running_tokens - placed.tokens)
        load.recent_tokens += placed.tokens

    def _level(self, loads: dict[str, float]) -> None:
        """Forgets the past when a replica is back: it must not get everything until it is even."""
        if self._absent.intersection(loads):
            for each in loads:
                self._loads[each].recent_tokens = 0.0
                loads[each] = self._loads[each].running_tokens
        self._absent = self._loads.keys() - loads.keys()

    def _owner(self, key: bytes, usable: Collection[str]) -> str:
        """Returns the first usable replica on the ring after the key."""
        at = bisect.bisect_left(self._ring, (int.from_bytes(key[:8]), ""))
        for step in range(len(self._ring)):
            owner = self._ring[(at + step) % len(self._ring)][1]
            if owner in usable:
                return owner
        raise LookupError("no usable replica is on the ring")

    def _remember(self, key: bytes, replica: str) -> None:
        before = self._places.pop(key, None)
        others: list[str] = []
        if before is not None:
            self._count_key(before, -1)
            others = [each for each in before.replicas if each != replica]
        load = self._loads[replica]
        load.turns += 1
        places = (replica, *others)[: self._places_per_key]
        self._places[key] = _Place(places, load.turns)
        load.keys += 1
        while len(self._places) > self._remembered_keys:
            self._count_key(self._places.popitem(last=False)[1], -1)

    def _count_key(self, place: _Place, by: int) -> None:
        load = self._loads.get(place.replicas[0])
        if load is not None:
            load.keys += by
