"""Writes what Prometheus, Grafana, Kubernetes and people read: `python -m monitoring [--check]`."""

from __future__ import annotations

import json
import sys
from typing import Any

import yaml

from monitoring.alerts import ALERTS
from monitoring.catalogue import ROOT
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import dashboard_json
from monitoring.model import Alert
from monitoring.objectives import rules
from monitoring.pages import index, metrics_page, runbook

_MADE = "# Made from monitoring/*.py by `make monitoring`: edit there.\n"
OBJECTIVES_GROUP = "objectives"
_GENERATED = ("monitoring/dashboards/*.json", "docs/runbooks/*.md")


def rule_files() -> dict[str, list[dict[str, Any]]]:
    """Returns the groups of each Prometheus rule file by its name.

    Objectives have a file of their own: their windows of days make them slow to test.
    """
    groups: dict[str, list[dict[str, Any]]] = {
        OBJECTIVES_GROUP: [
            {"record": rule.record, "expr": rule.expr, "labels": dict(rule.labels)}
            for rule in rules()
        ]
    }
    for alert in ALERTS:
        groups.setdefault(alert.group, []).append(_alert(alert))
    made = [{"name": f"cairn-{name}", "rules": found} for name, found in groups.items()]
    return {"objectives.yaml": made[:1], "alerts.yaml": made[1:]}


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.query,
        "for": alert.for_,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "runbook": alert.runbook},
    }


def files() -> dict[str, str]:
    """Returns every generated file by its path."""
    groups = rule_files()
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "cairn", "labels": {"app.kubernetes.io/part-of": "cairn"}},
        "spec": {"groups": [group for each in groups.values() for group in each]},
    }
    names = {each.uid: f"monitoring/dashboards/{each.uid}.json" for each in DASHBOARDS}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["prometheus-rule.yaml"],
        "configMapGenerator": [
            {
                "name": each.uid,
                "files": [names[each.uid].removeprefix("monitoring/")],
                "options": {"labels": {"grafana_dashboard": "1"}, "disableNameSuffixHash": True},
            }
            for each in DASHBOARDS
        ],
    }
    found = {
        **{
            f"monitoring/{name}": _MADE + _yaml({"groups": found}) for name, found in groups.items()
        },
        "monitoring/prometheus-rule.yaml": _MADE + _yaml(rule),
        "monitoring/kustomization.yaml": _MADE + _yaml(kustomization),
        "docs/runbooks/README.md": index(),
        "docs/metrics.md": metrics_page(),
    }
    found |= {alert.runbook: runbook(alert) for alert in ALERTS}
    found |= {
        names[each.uid]: json.dumps(dashboard_json(each), indent=1, ensure_ascii=False) + "\n"
        for each in DASHBOARDS
    }
    return found


def stale() -> list[str]:
    """Returns the paths whose content is not what the source says, and those that should not be."""
    wanted = files()
    wrong = [
        path
        for path, text in wanted.items()
        if not (ROOT / path).is_file() or (ROOT / path).read_text("utf-8") != text
    ]
    there = {str(path.relative_to(ROOT)) for each in _GENERATED for path in ROOT.glob(each)}
    return sorted(wrong + [path for path in there if path not in wanted])


def main(arguments: list[str]) -> int:
    """Writes the files; with `--check` only says which are not current."""
    wrong = stale()
    if "--check" in arguments:
        for path in wrong:
            print(f"not current: {path}; run `make monitoring`", file=sys.stderr)  # noqa: T201
        return 1 if wrong else 0
    wanted = files()
    for path in wrong:
        if path in wanted:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(wanted[path], "utf-8")
        else:
            (ROOT / path).unlink()
    return 0


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
