"""A retry budget: repeated calls stay a small share of all, so that they cannot feed an outage."""

from __future__ import annotations

from services.rpc.metrics import RETRIES, RETRY_BUDGET_EXHAUSTED


class RetryBudget:
    """Each call pays a little in, each repetition takes one out.

    Calls without which there is no answer may spend all of it; those that have something to fall
    back on leave half of it to them.

    Args:
        name: Label of the metrics.
        share: What a call pays in: repetitions per call, in the long run. A little under .1, so
            that with `credit` they stay below a tenth from the first hundred calls on.
        credit: What is there at the start, so that a first failure can be repeated.
        most: What can be saved up in quiet times.
    """

    def __init__(
        self, name: str, *, share: float = 0.09, credit: float = 1.0, most: float = 10.0
    ) -> None:
        if not 0 <= share <= 1 or credit < 0 or most < credit:
            raise ValueError("share must be 0..1, and most at least credit")
        self._share = share
        self._most = most
        self._balance = credit
        self._repeated = RETRIES.labels(name)
        self._refused = RETRY_BUDGET_EXHAUSTED.labels(name)

    @property
    def balance(self) -> float:
        """Repetitions that are paid for."""
        return self._balance

    def pay_in(self) -> None:
        """Counts a call, not a repetition."""
        self._balance = min(self._most, self._balance + self._share)

    def take(self, *, is_essential: bool = True) -> bool:
        """Returns whether a call may be repeated now, and counts that it is.

        Args:
            is_essential: Whether there is no answer without it.
        """
        reserve = 0.0 if is_essential else self._most / 2
        if self._balance - 1.0 < reserve - 1e-9:
            self._refused.inc()
            return False
        self._balance -= 1.0
        self._repeated.inc()
        return True
