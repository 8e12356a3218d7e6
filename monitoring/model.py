"""What an alert, a recording rule, an objective and a panel are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule: a figure that Prometheus works out ahead of time."""

    record: str
    expr: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert, and all that a person who is woken by it has to know."""

    name: str
    group: str
    severity: str
    """page: wakes somebody; ticket: can wait for the morning."""
    expr: str
    """PromQL; the word THRESHOLD stands for the threshold."""
    for_: str
    summary: str
    """One line; Prometheus fills in `{{ … }}`."""
    meaning: str
    impact: str
    look_at: tuple[str, ...]
    do: tuple[str, ...]
    threshold: float | None = None
    unit: str = ""
    """Of the threshold: s, percentunit, short."""

    @property
    def query(self) -> str:
        """The expression with its threshold."""
        text = " ".join(self.expr.split())
        return text if self.threshold is None else text.replace("THRESHOLD", f"{self.threshold:g}")

    @property
    def runbook(self) -> str:
        """The page that explains it."""
        return f"docs/runbooks/{self.name}.md"


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise to users: a share of good events, over 30 days."""

    name: str
    title: str
    target: float
    """Share of good events, such as 0.999."""
    bad: str
    """PromQL: rate of bad events; the word WINDOW stands for the range."""
    total: str
    """PromQL: rate of all events."""

    @property
    def budget(self) -> float:
        """Share of events that may be bad."""
        return round(1 - self.target, 6)


@dataclass(frozen=True, slots=True)
class Query:
    """A line of a panel."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart: a question somebody on call asks."""

    title: str
    unit: str
    """Grafana's: s, percentunit, reqps, short, bytes, …"""
    queries: tuple[Query, ...]
    description: str = ""
    kind: str = "timeseries"
    """timeseries or stat."""
    threshold: float | None = None
    """A line to hold the figure against; an alert's."""
    width: int = 8
    """Of 24."""


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of Grafana."""

    uid: str
    title: str
    description: str
    sections: tuple[Section, ...]
