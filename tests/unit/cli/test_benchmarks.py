"""Benchmarks are found, run and held to what they promise to print."""

import json
from pathlib import Path

import pytest

from cli.benchmarks import benchmark_names, extras, run_benchmark, summary_of
from cli.errors import CliError

ROW = {"case": "c", "system": "s", "metric": "m", "value": 1.5}
REPORT = {"bench": "toy", "versions": {}, "machine": {}, "seed": 1, "rows": [ROW]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "suite_of_benchmarks"


def add(folder: Path, name: str, program: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__main__.py").write_text(program)
    (folder / name / "README.md").write_text(f"# {name}\n\nHow fast\nit is.\n\nMore.\n")


def test_those_of_this_checkout_are_listed():
    names = benchmark_names()
    assert "embedding" in names
    assert all(summary_of(name) for name in names)


def test_run(folder: Path):
    add(
        folder,
        "toy",
        f"import sys\nassert sys.argv[1:] == ['--json', '--quick']\nprint({json.dumps(json.dumps(REPORT))})\n",
    )
    assert benchmark_names(folder) == ["toy"]
    assert summary_of("toy", folder) == "How fast it is."
    assert run_benchmark("toy", is_quick=True, folder=folder) == REPORT


def test_further_options_go_to_the_benchmark(folder: Path):
    add(
        folder,
        "toy",
        f"import sys\nassert sys.argv[1:] == ['--json', '--peers', 'a,b']\nprint({json.dumps(json.dumps(REPORT))})\n",
    )
    found = run_benchmark("toy", is_quick=False, more=["--peers", "a,b"], folder=folder)
    assert found == REPORT


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("print('fast')", "did not print one JSON object"),
        ("print('[]')", "lacks bench, versions"),
        (
            'print(\'{"bench": 1, "versions": {}, "machine": {}, "seed": 1, "rows": [{}]}\')',
            r"lacks rows\[0\]\.case",
        ),
    ],
)
def test_broken_promises(folder: Path, program: str, message: str):
    add(folder, "toy", program)
    with pytest.raises(CliError, match=message):
        run_benchmark("toy", is_quick=False, folder=folder)


def test_unknown_name(folder: Path):
    add(folder, "toy", "")
    with pytest.raises(CliError, match="there is no benchmark 'other'") as caught:
        run_benchmark("other", is_quick=False, folder=folder)
    assert "toy" in caught.value.hint


def test_extras_of_a_row():
    row = ROW | {"ratio": 0.8, "against": "peer", "recall": 0.99}
    assert extras(row) == "0.8x of peer, recall 0.99"
    assert extras(ROW) == ""
