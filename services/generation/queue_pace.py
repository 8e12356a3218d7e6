"""How fast a queue moves, and so when a request that comes now would be answered."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 3.0
"""Turns come in bursts, as batches end: a shorter look back would see one burst or none."""
_MOST_TURNS = 4096
_FEWEST = 8
_SMOOTHING = 0.05
_CAUTION = 1.6
"""Stretches estimates: an answer that comes too late costs the same, and helps nobody."""


class Pace:
    """Measures turns and answers; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._turns: deque[float] = deque(maxlen=_MOST_TURNS)
        self._mean_seconds = 0.0
        self._mean_tokens = 0.0

    def took_turn(self, now: float) -> None:
        """Notes that a request has entered the engine."""
        self._turns.append(now)

    def rest(self) -> None:
        """Notes that nobody is there: what was before says nothing of what comes."""
        self._turns.clear()

    def answered(self, seconds: float, written_tokens: int) -> None:
        """Notes how long the engine took for an answer, and how long that was."""
        if not self._mean_tokens:
            self._mean_seconds, self._mean_tokens = seconds, float(written_tokens)
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)
        self._mean_tokens += _SMOOTHING * (written_tokens - self._mean_tokens)

    def wait_seconds(self, ahead: int, now: float) -> float:
        """Estimates when a turn comes that so many others come before; 0: not known."""
        return _CAUTION * ahead * self._seconds_per_turn(now)

    def answer_seconds(self, tokens: int, running: int, now: float) -> float:
        """Estimates how long so many tokens take beside so many requests; 0: not known."""
        if not self._mean_tokens:
            return 0.0
        as_others_took = tokens * self._mean_seconds / self._mean_tokens
        # By Little's law, which notices sooner when the engine has become slower.
        return _CAUTION * max(as_others_took, running * self._seconds_per_turn(now))

    def _seconds_per_turn(self, now: float) -> float:
        turns = self._turns
        while len(turns) > _FEWEST and now - turns[0] > _WINDOW_SECONDS:
            turns.popleft()
        return (now - turns[0]) / len(turns) if len(turns) >= _FEWEST else 0.0
