"""The metrics of the running suite are those of the catalogue, valid, and what alerts need."""

from __future__ import annotations

import re
import shutil
import subprocess
import time

import pytest

from monitoring.availability import WATCHED
from monitoring.catalogue import catalogue
from tests.kit.metric_labels import FOREIGN, families_of, scraped
from tests.kit.suite import Suite, ingest_text


@pytest.fixture(scope="module")
def pages(suite: Suite) -> dict[str, str]:
    """Metrics after questions, documents, errors and unknown paths."""
    ingest_text(suite, metrics="# Gneiss\n\nGneiss has bands of light and dark minerals.")
    for number in range(3):
        suite.query(f"What does gneiss look like {number}?", bypass_cache=True)
    with suite.client() as client:
        for path in ("/v1/no-such-path-1", "/v1/no-such-path-2", "/elsewhere/3"):
            assert client.get(path).status_code == 404
        assert client.request("BREW", "/v1/query").status_code >= 400
        assert (
            client.post("/v1/query", json={"query": "x", "collection": "none-such"}).status_code
            == 404
        )
    for _ in range(100):  # the views are counted each second or so
        pages = scraped(suite)
        if not re.search(r"^cairn_retrieval_rows 0\.0$", pages["retrieval"], re.MULTILINE):
            break
        time.sleep(0.2)
    return pages


def test_every_service_serves_metrics(pages: dict[str, str]) -> None:
    assert set(pages) == {"gateway", "embedding", "retrieval", "generation", "ingestion"}


def test_promtool_finds_nothing_to_mend(pages: dict[str, str]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing (Debian and Ubuntu: apt-get install prometheus)")
    for service, page in pages.items():
        done = subprocess.run(
            ["promtool", "check", "metrics"],
            input=page,
            capture_output=True,
            text=True,
            check=False,
        )
        said = [line for line in (done.stdout + done.stderr).splitlines() if "cairn_" in line]
        assert not said, service


def test_what_is_exported_is_in_the_catalogue_with_these_labels(pages: dict[str, str]) -> None:
    known = catalogue()
    for service, page in pages.items():
        for family in families_of(page):
            if family.name.startswith(FOREIGN):
                continue
            name = f"{family.name}_total" if family.type == "counter" else family.name
            metric = known.get(name)
            assert metric is not None, f"{service} exports {name}, which the catalogue lacks"
            assert metric.kind == family.type
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(metric.labels), sample.name


def test_what_absence_is_watched_of_is_there_from_the_start(pages: dict[str, str]) -> None:
    everything = "\n".join(pages.values())
    for name in WATCHED:
        assert re.search(rf"^{name}(\{{.*\}})? ", everything, re.MULTILINE), name


@pytest.mark.parametrize(
    ("service", "series"),
    [
        ("gateway", 'cairn_gateway_query_seconds_count{operation="query"}'),
        ("gateway", 'cairn_gateway_stage_seconds_bucket{le="0.15",stage="retrieve"}'),
        ("retrieval", 'cairn_retrieval_queries_total{outcome="found"}'),
        ("retrieval", "cairn_retrieval_rows "),
        (
            "retrieval",
            'cairn_rpc_server_duration_seconds_bucket{code="OK",le="0.15",method="Search"',
        ),
        ("ingestion", 'cairn_ingestion_freshness_seconds_bucket{le="60.0"}'),
        ("ingestion", "cairn_memory_used_bytes "),
        ("embedding", "cairn_embedding_batch_fill_ratio_count{"),
        ("embedding", "cairn_disk_free_bytes "),
        ("generation", "cairn_generation_tokens_total{"),
    ],
)
def test_figures_that_alerts_and_dashboards_need_move(
    pages: dict[str, str], service: str, series: str
) -> None:
    found = [line for line in pages[service].splitlines() if line.startswith(series)]
    assert found, series
    assert max(float(line.rpartition(" ")[2]) for line in found) > 0
