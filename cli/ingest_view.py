"""How an ingestion goes, at a terminal and without one."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from cli.terminal import styled

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from cli.ingestion import Outcome

STAGES = ("waiting", "uploading", "received", "parsed", "chunked", "embedded")
"""What a document goes through, in order; then it is ready, unchanged or failed."""

_STATES = ("ready", "unchanged", "deleted", "failed")
_RATE_SECONDS = 10.0
_PLAIN_SECONDS = 5.0
_REFRESHES_PER_SECOND = 4


class IngestView:
    """Shows counts per stage, the rate, and failures with their reasons.

    At a terminal one table is kept up to date below the failures; without one, a line is written
    now and then, and one for each failure at once.

    Args:
        console: Where to.
        total: Documents that are expected.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._stages: dict[str, str] = {}
        self._outcomes: Counter[str] = Counter()
        self._ends: deque[float] = deque()
        self._began = self._spoke = time.monotonic()
        self._live = (
            Live(
                get_renderable=self._table,
                console=console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            )
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def expect(self, count: int) -> None:
        """Expects further documents."""
        self._total += count

    def on_stage(self, uri: str, stage: str) -> None:
        """Notes how far a document is."""
        self._stages[uri] = stage
        self._speak()

    def on_outcome(self, outcome: Outcome) -> None:
        """Notes what became of a document; a failure shows at once."""
        self._stages.pop(outcome.uri, None)
        self._outcomes[outcome.state] += 1
        self._ends.append(time.monotonic())
        if outcome.state == "failed":
            self._console.print(
                styled(f"failed: {outcome.uri}: {outcome.reason}", "red"), soft_wrap=True
            )
        for warning in (outcome.document or {}).get("warnings", []):
            self._console.print(styled(f"{outcome.uri}: {warning}", "yellow"), soft_wrap=True)
        self._speak()

    def rate(self) -> float:
        """Returns how many documents a second have ended lately."""
        now = time.monotonic()
        while self._ends and self._ends[0] < now - _RATE_SECONDS:
            self._ends.popleft()
        return len(self._ends) / max(1.0, min(_RATE_SECONDS, now - self._began))

    def counts(self) -> dict[str, int]:
        """Returns how many documents are at each stage, and what became of the others."""
        stages = Counter(self._stages.values())
        stages["waiting"] = max(0, self._total - len(self._stages) - sum(self._outcomes.values()))
        return {name: stages[name] for name in STAGES} | {
            name: self._outcomes[name] for name in _STATES
        }

    def _speak(self) -> None:
        now = time.monotonic()
        if self._live is None and now - self._spoke >= _PLAIN_SECONDS:
            self._spoke = now
            self._console.print(styled(self.line()), soft_wrap=True)

    def line(self) -> str:
        """Returns all of it in one line."""
        done = sum(self._outcomes.values())
        parts = [f"{count} {name}" for name, count in self.counts().items() if count]
        return f"{done}/{self._total}: {', '.join(parts)}; {self.rate():.1f}/s"

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for _ in range(2):
            table.add_column(justify="right")
            table.add_column()
        counts = self.counts()
        left = [(name, counts[name]) for name in STAGES]
        right = [(name, counts[name]) for name in _STATES if counts[name] or name != "deleted"]
        for place, (name, count) in enumerate(left):
            cells = [str(count), styled(name)]
            if place < len(right):
                state, number = right[place]
                is_bad = state == "failed" and number
                cells += [styled(str(number), "red" if is_bad else ""), styled(state)]
            table.add_row(*cells)
        done = sum(self._outcomes.values())
        seconds = int(time.monotonic() - self._began)
        foot = f"{done}/{self._total}  {self.rate():.1f} documents/s  {seconds} s"
        bar = ProgressBar(total=max(1, self._total), completed=done, width=40)
        return Group(table, bar, styled(foot))


def summary(outcomes: Sequence[Outcome], skipped_count: int) -> str:
    """Returns one line that says what became of all documents."""
    counts = Counter(outcome.state for outcome in outcomes)
    chunk_count = sum((outcome.document or {}).get("chunk_count", 0) for outcome in outcomes)
    words = {"unchanged": "unchanged and skipped"}
    parts = [f"{counts[state]} {words.get(state, state)}" for state in _STATES if counts[state]]
    if skipped_count:
        parts.append(f"{skipped_count} of other types passed over")
    return f"{len(outcomes)} files: {', '.join(parts) or 'nothing'}; {chunk_count} chunks"
