"""Alerts, objectives, dashboards and runbooks: one source, valid, tested, over metrics that exist."""

import re
import shutil
import subprocess
from functools import cache

import promql_parser
import pytest
import yaml

from monitoring.__main__ import files, rule_files, stale
from monitoring.alerts import ALERTS
from monitoring.catalogue import FOREIGN, catalogue, queryable
from monitoring.dashboards import DASHBOARDS
from monitoring.objectives import OBJECTIVES, PAGE_BURN, PAGE_SLOWER_BURN, TICKET_BURN
from services.rpc.metrics import STAGE_SECONDS
from tests.repository.files import ROOT, read

FOLDER = ROOT / "monitoring"
CASES = sorted(path.name for path in FOLDER.glob("*_test.yaml"))
TARGET_LABELS = {"job", "instance"}

PROMISED = {
    "CairnSearchSlow": 0.15,
    "CairnAnswersSlow": 5,
    "CairnRecallLow": 0.9,
    "CairnErrorRateHigh": 0.01,
    "CairnCacheHitsLow": 0.4,
    "CairnQueueLong": 1000,
    "CairnMemoryHigh": 0.8,
    "CairnTokenCostSpike": 1.5,
}
"""Thresholds that were promised to users."""
OTHERS = {
    "CairnHttpErrorRateHigh": 0.01,
    "CairnDeadlinesMissed": 0.05,
    "CairnSpansLost": 0.1,
    "CairnEmbeddingSlow": 0.5,
    "CairnZeroResults": 0.05,
    "CairnAnswersDegraded": 0.05,
    "CairnOverloaded": 0.1,
    "CairnRetryBudgetSpent": 0.1,
    "CairnGenerationQueueSlow": 5,
    "CairnDiskFull": 0.8,
    "CairnDocumentsStuck": 600,
    "CairnDeadLetters": 10,
}
"""The rest: none moves by a hair without somebody saying so here."""


@cache
def rules():
    found = [yaml.safe_load(read(f"monitoring/{name}"))["groups"] for name in rule_files()]
    return [rule for groups in found for group in groups for rule in group["rules"]]


@cache
def recorded():
    return {rule["record"] for rule in rules() if "record" in rule}


def promtool(*arguments, folder=FOLDER):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing (Debian and Ubuntu: apt-get install prometheus)")
    return subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_what_is_made_is_current():
    assert stale() == [], "run `make monitoring`"


def test_the_rules_are_valid():
    done = promtool("check", "rules", "alerts.yaml", "objectives.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("cases", CASES)
def test_every_case_of_the_unit_tests_holds(cases):
    done = promtool("test", "rules", cases)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_shown_to_fire_and_to_stay_quiet():
    fires, quiet = set(), set()
    for name in CASES:
        for case in yaml.safe_load(read(f"monitoring/{name}"))["tests"]:
            for check in case.get("alert_rule_test", ()):
                (fires if check.get("exp_alerts") else quiet).add(check["alertname"])
    assert {alert.name for alert in ALERTS} == fires == quiet


def test_every_alert_is_asked_whether_a_busy_suite_that_is_well_is_left_alone():
    """And over figures of its own: an alert over nothing is quiet whatever it says."""
    (case,) = yaml.safe_load(read("monitoring/quiet_test.yaml"))["tests"]
    checks = case["alert_rule_test"]
    assert not [check for check in checks if check.get("exp_alerts")]
    assert {check["alertname"] for check in checks} == {alert.name for alert in ALERTS}
    given = {re.match(r"[\w:]+", each["series"])[0] for each in case["input_series"]}
    for alert in ALERTS:
        named = {each.name for each in selectors(alert.query)} - recorded()
        assert named <= given, alert.name


BURNS = {
    "CairnErrorBudgetBurnsFast": (PAGE_BURN, PAGE_SLOWER_BURN),
    "CairnErrorBudgetBurnsSlowly": (TICKET_BURN,),
}


@pytest.mark.parametrize("factor", [1.25, 0.8])
def test_a_threshold_that_changes_without_its_test_fails(factor, tmp_path):
    """Moves every threshold by a quarter at once: the cases of each alert must notice."""
    groups = [group for each in rule_files().values() for group in each]
    moved = {alert.name: alert for alert in ALERTS if alert.threshold is not None}
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        name = rule["alert"]
        if name in moved:
            was = f"{moved[name].threshold:g}"
            rule["expr"] = re.sub(
                rf"([<>] ){re.escape(was)}(?![\d.])", rf"\g<1>{float(was) * factor:g}", rule["expr"]
            )
        for burn in BURNS.get(name, ()):
            rule["expr"] = rule["expr"].replace(f"({burn:g} *", f"({burn * factor:g} *")
    objectives, rest = groups[:1], groups[1:]
    (tmp_path / "objectives.yaml").write_text(yaml.safe_dump({"groups": objectives}))
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({"groups": rest}))
    said = ""
    for name in CASES:
        shutil.copy(FOLDER / name, tmp_path)
        done = promtool("test", "rules", name, folder=tmp_path)
        said += done.stdout + done.stderr
    noticed = set(re.findall(r"alertname:? ?\"?(\w+)", said))
    assert set(moved) | set(BURNS) <= noticed, f"not noticed: {(set(moved) | set(BURNS)) - noticed}"


def test_an_objective_that_changes_without_its_test_fails():
    cases = yaml.safe_load(read("monitoring/objectives_test.yaml"))["tests"]
    (budgets,) = [case for case in cases if case["name"] == "each objective has its budget"]
    said = {
        re.search(r'slo="([^"]+)"', sample["labels"])[1]: sample["value"]
        for sample in budgets["promql_expr_test"][0]["exp_samples"]
    }
    assert said == {each.name: each.budget for each in OBJECTIVES}


def test_promised_thresholds_are_kept():
    thresholds = {each.name: each.threshold for each in ALERTS if each.threshold is not None}
    assert thresholds == PROMISED | OTHERS


def test_every_alert_has_a_severity_a_summary_and_a_runbook_that_exists():
    for rule in (rule for rule in rules() if "alert" in rule):
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        page = read(rule["annotations"]["runbook"])
        assert page.splitlines()[2] == f"# {rule['alert']}"
        for heading in ("Meaning", "Impact", "Look at", "Do"):
            text = page.partition(f"## {heading}\n")[2].partition("\n\n## ")[0]
            assert len(text.strip()) > 10, (rule["alert"], heading)
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def queries():
    """Every query with the place it comes from."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for dashboard in DASHBOARDS:
        for section in dashboard.sections:
            for panel in section.panels:
                for query in panel.queries:
                    yield f"{dashboard.uid}: {panel.title}", query.expr


def selectors(query):
    found = []

    def visit(node):
        if type(node).__name__ == "VectorSelector":
            found.append(node)

    expression = promql_parser.parse(query.replace("$__rate_interval", "5m"))
    promql_parser.walk(expression, visit)
    return found


def test_every_query_parses_and_names_only_metrics_and_labels_that_exist():
    known = queryable()
    for place, query in queries():
        named = selectors(query)
        assert named or "vector(" in query, f"{place} asks for nothing"
        for each in named:
            if each.name in recorded():
                continue
            assert each.name in known, f"{place}: there is no metric {each.name}"
            labels = {matcher.name for matcher in each.matchers.matchers}
            unknown = labels - set(known[each.name]) - TARGET_LABELS
            assert not unknown, f"{place}: {each.name} has no label {unknown}"


def test_quantiles_are_of_rates():
    """A quantile of counts since the start says nothing of now."""
    for place, query in queries():
        for inner in re.findall(r"histogram_quantile\([^,]+, (.{0,60})", query):
            assert re.match(r"sum by \([^)]*\ble\b[^)]*\) ?\(rate\(", inner), place


def test_grouping_by_labels_that_the_metric_has():
    known = queryable()
    for place, query in queries():
        for labels, metric in re.findall(
            r"(?:sum|max|min) by \(([^)]*)\) ?\((?:rate\()?(cairn_\w+)", query
        ):
            unknown = (
                {each.strip() for each in labels.split(",")} - set(known[metric]) - TARGET_LABELS
            )
            assert not unknown, f"{place}: {metric} has no label {unknown}"


def test_every_panel_says_what_it_shows_and_in_what_unit():
    for dashboard in DASHBOARDS:
        titles = [panel.title for section in dashboard.sections for panel in section.panels]
        assert len(set(titles)) == len(titles)
        for section in dashboard.sections:
            for panel in section.panels:
                assert panel.unit in {"s", "percentunit", "reqps", "short", "bytes", "currencyUSD"}
                assert panel.queries
                assert 0 < panel.width <= 24


def test_the_promised_dashboards_are_there():
    titles = {dashboard.title for dashboard in DASHBOARDS}
    assert titles == {
        f"Cairn {each}"
        for each in ("overview", "retrieval", "generation", "ingestion", "tenants and cost")
    }
    assert sum(path.startswith("monitoring/dashboards/") for path in files()) == len(titles)


def test_durations_have_the_bounds_that_alerts_name():
    """A quantile is exact at a bound and a guess between two."""
    assert {0.05, 0.1, 0.12, 0.15, 0.2, 0.5, 1, 2, 5} <= set(STAGE_SECONDS)


def test_the_catalogue_is_in_base_units_and_bounded():
    metrics = catalogue()
    assert len(metrics) > 60
    for metric in metrics.values():
        assert metric.help.endswith("."), metric.name
        if metric.name.startswith("vllm:"):
            continue
        assert not re.search(r"_(ms|millis|kb|mb|percent)(_|$)", metric.name), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert not set(metric.labels) & {
            "query",
            "document",
            "document_id",
            "key",
            "key_id",
            "user",
        }, metric.name
        if "tenant" in metric.labels:
            assert metric.kind == "counter", f"{metric.name}: tenants only on counters"


def test_metrics_of_vllm_have_the_names_that_it_gives_them():
    found = list(ROOT.glob(".venv-vllm/lib/python3*/site-packages/vllm/v1/metrics/loggers.py"))
    if not found:
        pytest.skip("vLLM is not installed (make vllm)")
    text = found[0].read_text("utf-8")
    for name, labels in FOREIGN.items():
        assert f'"{name}"' in text
        assert all(f'"{label}"' in text for label in labels)


def test_every_metric_is_watched_or_drawn_or_listed():
    page = read("docs/metrics.md")
    for name in catalogue():
        assert f"`{name}`" in page
