"""Reads the `/metrics` page of a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx
from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_SECONDS = 3.0
_MAX_BYTES = 16_000_000


@dataclass(frozen=True, slots=True)
class MetricsPage:
    """Samples of one process, by name."""

    samples: Mapping[str, list[tuple[Mapping[str, str], float]]] = field(default_factory=dict)

    def total(self, name: str) -> float:
        """Returns the sum of a metric over its labels; 0 where there is none."""
        return sum(value for _, value in self.samples.get(name, []))

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """Returns the values of a metric by one of its labels."""
        found: dict[str, float] = {}
        for has, value in self.samples.get(name, []):
            key = has.get(label, "")
            found[key] = found.get(key, 0.0) + value
        return found


async def read_metrics(address: str) -> MetricsPage | None:
    """Returns the page at `host:port`; None when there is none."""
    if not address:
        return None
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            response = await client.get(f"http://{address}/metrics")
            response.raise_for_status()
    except httpx.HTTPError:
        return None
    return parse_metrics(response.text) if len(response.content) <= _MAX_BYTES else None


def parse_metrics(text: str) -> MetricsPage:
    """Reads Prometheus' text form."""
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return MetricsPage(samples)
