"""The metrics that the code exports, read from the code."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "CounterMetricFamily": "counter",
    "GaugeMetricFamily": "gauge",
    "HistogramMetricFamily": "histogram",
}
_PREFIXES = ("cairn_", "vllm:")

FOREIGN = {
    "vllm:num_requests_running": ("model_name", "engine"),
    "vllm:num_requests_waiting": ("model_name", "engine"),
    "vllm:kv_cache_usage_perc": ("model_name", "engine"),
}
"""Exported by vLLM itself in a generation process that runs it; autoscalers and endpoint pickers
read these names. Requests that wait in our own queue, ahead of vLLM's, are not among them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as the code declares it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    module: str

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries use."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "count", "sum"))
        return (self.name,)


def catalogue() -> dict[str, Metric]:
    """Returns every metric by name."""
    found: dict[str, Metric] = {}
    for path in sorted((ROOT / "services").rglob("*.py")):
        text = path.read_text("utf-8")
        if "prometheus_client" not in text and "services.rpc.instruments" not in text:
            continue
        tree = ast.parse(text)
        kinds = _KINDS | {
            alias.asname: _KINDS[alias.name]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname and alias.name in _KINDS
        }
        for node in ast.walk(tree):
            metric = _metric(node, path, kinds)
            if metric is not None:
                found.setdefault(metric.name, metric)
    return found


def _metric(node: ast.AST, path: Path, kinds: dict[str, str]) -> Metric | None:
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    kind = kinds.get(name)
    if kind is None or not node.args or not isinstance(node.args[0], ast.Constant):
        return None
    name = node.args[0].value
    if not isinstance(name, str) or not name.startswith(_PREFIXES):
        return None
    labels: object = ()
    given = [each for each in node.args[2:3] if isinstance(each, ast.List | ast.Tuple)]
    given += [each.value for each in node.keywords if each.arg in {"labelnames", "labels"}]
    if given:
        labels = ast.literal_eval(given[0])
    help_text = ast.literal_eval(node.args[1]) if len(node.args) > 1 else ""
    return Metric(
        name,
        kind,
        str(help_text),
        tuple(str(each) for each in labels) if isinstance(labels, list | tuple) else (),
        ".".join(path.relative_to(ROOT).with_suffix("").parts),
    )


def queryable() -> dict[str, tuple[str, ...]]:
    """Returns every name a query may use, with the labels it may name."""
    names: dict[str, tuple[str, ...]] = {"up": (), **FOREIGN}
    for metric in catalogue().values():
        for series in metric.series:
            more = ("le",) if series.endswith("_bucket") else ()
            names[series] = (*metric.labels, *more)
    return names
