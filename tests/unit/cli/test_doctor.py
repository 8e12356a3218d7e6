"""What `cairn doctor` makes of figures, variables and folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands.status import queues, waiting
from cli.doctor.environment import environment_checks, environment_of, secrets_check
from cli.doctor.folder import folder_checks
from cli.doctor.suite import figures_to_look_at
from cli.metrics_page import parse_metrics
from services.rpc.preflight import Level, examine
from tests.kit.suite import run_cairn

WELL = """
cairn_ingestion_dead_letter_jobs 0
cairn_ingestion_oldest_job_age_seconds 12
cairn_admission_cost{name="retrieval_queries"} 2
cairn_admission_limit_cost{name="retrieval_queries"} 64
cairn_generation_breaker_state{engine="vllm"} 0
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cairn_ingestion_dead_letter_jobs 3", "3 documents failed"),
        ("cairn_ingestion_oldest_job_age_seconds 700", "700 s old"),
        ("cairn_ingestion_queued_jobs 1500", "1500 documents wait"),
        ("cairn_retrieval_view_files_damaged_total 1", "1 files of views were damaged"),
        ("cairn_gateway_limiter_is_local 1", "Valkey does not answer"),
        ('cairn_generation_breaker_state{engine="vllm"} 2', "vllm are cut off"),
        (
            'cairn_admission_cost{name="a"} 9\ncairn_admission_limit_cost{name="a"} 10',
            "a: 90% of what is admitted",
        ),
    ],
)
def test_figures_that_are_not_well(line, said):
    (found,) = figures_to_look_at(parse_metrics(line + "\n"))
    assert said in found[0]
    assert found[1], "says what to do"


def test_figures_that_are_well():
    assert list(figures_to_look_at(parse_metrics(WELL))) == []


def test_variables_that_no_service_reads():
    names = {"CAIRN_GATWAY_PORT": "1", "CAIRN_DATA_DIR": "x", "CAIRN_GATEWAY_PORT": "2", "HOME": ""}
    (found,) = examine(environment_checks(names))
    assert found.level is Level.WARNING
    assert "CAIRN_GATWAY_PORT (did you mean CAIRN_GATEWAY_PORT?)" in found.text
    assert "CAIRN_DATA_DIR" not in found.text
    (found,) = examine(environment_checks({"CAIRN_GATEWAY_PORT": "2"}))
    assert found.level is Level.OK


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"A": "x" * 32, "B": "x" * 32}, ""),
        ({}, ""),
        ({"A": "x" * 32, "B": "y" * 32}, "a refuses b, b refuses a"),
        ({"A": "x" * 32}, "a refuses b"),
        (
            {"A": "x" * 32, "FORMER_A": "y" * 32, "B": "y" * 32, "FORMER_B": "z"},
            "b refuses a",
        ),
        # Half-way through a change of the secret nobody is refused.
        ({"A": "x" * 32, "FORMER_A": "y" * 32, "B": "y" * 32, "FORMER_B": "x" * 32}, ""),
    ],
)
def test_services_that_would_refuse_each_other(values, said, tmp_path: Path):
    environments: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    for name, value in values.items():
        service = name[-1]
        if name.startswith("FORMER"):
            environments[service.lower()][f"CAIRN_{service}_FORMER_INTERNAL_SECRETS"] = value
        else:  # one from a file, as in Kubernetes
            file = tmp_path / name
            file.write_text(f"{value}\n")
            environments[service.lower()][f"CAIRN_{service}_INTERNAL_SECRET_FILE"] = str(file)
    (found,) = examine([secrets_check(environments)])
    assert found.level is (Level.FAILURE if said else Level.OK)
    assert said in found.text
    assert "xxx" not in str(found)


def test_a_folder_that_others_may_read(tmp_path: Path):
    tmp_path.chmod(0o755)
    found = {each.check: each for each in examine(folder_checks(tmp_path))}
    assert found["data directory"].level is Level.FAILURE
    assert "chmod" in found["data directory"].remedy
    tmp_path.chmod(0o700)
    assert all(each.level is Level.OK for each in examine(folder_checks(tmp_path)))


def test_the_environment_of_a_process():
    command = [sys.executable, "-c", "print(flush=True); input()"]
    own = os.environ | {"CAIRN_RETRIEVAL_PORT": "0"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=own, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun: before that the kernel has no environment yet
        try:
            found = environment_of(process.pid)
        finally:
            process.communicate(b"\n")
    assert found["CAIRN_RETRIEVAL_PORT"] == "0"


def test_a_machine_without_a_suite(tmp_path: Path):
    done = run_cairn("doctor", "--json", data_dir=tmp_path / "data")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {each["check"] for each in found}
    assert {"disk", "retrieval: database", "embedding: model", "last run"} <= checks
    assert not (tmp_path / "data").exists(), "it only looks"
    wrong = run_cairn("doctor", data_dir=tmp_path / "data", CAIRN_GATEWAY_RATE_BURST="many")
    assert wrong.returncode == 1
    assert "CAIRN_GATEWAY_RATE_BURST" in wrong.stdout
    assert "1 fail" in wrong.stdout


def test_what_waits_is_told():
    pages = [
        parse_metrics("cairn_ingestion_queued_jobs 7\ncairn_ingestion_oldest_job_age_seconds 9\n"),
        parse_metrics("cairn_ingestion_queued_jobs 6\ncairn_ingestion_dead_letter_jobs 1\n"),
        parse_metrics(
            'cairn_embedding_queue_tokens{lane="bulk"} 5\n'
            "cairn_ingestion_freshness_seconds_sum 12\n"
            "cairn_ingestion_freshness_seconds_count 8\n"
        ),
        parse_metrics('cairn_embedding_queue_tokens{lane="bulk"} 4\n'),
    ]
    told = waiting(queues(pages))
    assert "7 documents wait" in told
    assert "oldest for 9 s" in told
    assert "1 failed for good" in told
    assert "9 tokens wait" in told
    assert "searchable after 1.5 s" in told
