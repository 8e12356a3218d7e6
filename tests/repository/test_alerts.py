"""Alerts: valid, tested, explained, and over metrics that exist."""

import re
import shutil
import subprocess

import promql_parser
import pytest
import yaml

from services.rpc.metrics import SERVER_DURATION
from tests.repository.files import ROOT, read, tracked
from tests.repository.test_documentation import anchors

FOLDER = ROOT / "monitoring"
NAME = re.compile(r"cairn_[a-z0-9_]+")


def rules():
    groups = yaml.safe_load(read("monitoring/alerts.yaml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(
    "arguments", [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]]
)
def test_promtool_is_content(arguments):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing (Debian and Ubuntu: apt-get install prometheus)")
    done = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_expressions_parse():
    for rule in rules():
        promql_parser.parse(rule["expr"])


def test_every_alert_is_shown_to_fire_and_to_stay_quiet():
    fires, quiet = set(), set()
    for case in yaml.safe_load(read("monitoring/alerts_test.yaml"))["tests"]:
        for check in case["alert_rule_test"]:
            (fires if check.get("exp_alerts") else quiet).add(check["alertname"])
            # One of several series that fires shows that the others stay quiet.
            if check.get("exp_alerts") and len(case["input_series"]) > len(check["exp_alerts"]):
                quiet.add(check["alertname"])
    names = {rule["alert"] for rule in rules()}
    assert names == fires
    assert names <= quiet


def test_every_alert_has_a_severity_a_summary_and_a_runbook_that_exists():
    headings = anchors(read("docs/operations.md"))
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in headings, rule["alert"]


def exported():
    """Every metric name the code declares, with the suffixes that its kind exports."""
    names = set()
    for path in tracked("services/*.py"):
        text = path.read_text(encoding="utf-8")
        for kind, name in re.findall(
            r"\b(Counter|Gauge|Histogram)\(\s*\"(cairn_[a-z0-9_]+)\"", text
        ):
            names.add(name)
            if kind == "Histogram":
                names |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
    return names


def test_alerts_name_only_metrics_that_exist():
    known = exported()
    used = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert used
    assert used <= known


def test_thresholds_are_bounds_of_the_histogram():
    """A quantile is exact at a bound and a guess between two."""
    SERVER_DURATION.labels("test", "test", "OK").observe(0)
    bounds = {
        sample.labels["le"]
        for metric in SERVER_DURATION.collect()
        for sample in metric.samples
        if sample.name.endswith("_bucket")
    }
    assert {"0.15", "5.0"} <= bounds
