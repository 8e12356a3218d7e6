"""`cairn demo`, which `make demo` runs: as a person sees it, and as a script does."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli.suite_state import StateFolder
from tests.kit.leftovers import assert_nothing_left, ports_of, processes_of
from tests.kit.suite import ROOT, environment, run_cairn
from tests.kit.terminal import terminal

FIRST_ANSWER_SECONDS = 60
MAX_RSS_BYTES = 2e9

pytestmark = pytest.mark.timeout(300)


def check_transcript(text: str) -> None:
    for service in ("valkey", "embedding", "retrieval", "generation", "ingestion", "gateway"):
        assert re.search(rf"{service}\s+ready", text), f"{service} is not told to be ready"
    assert re.search(r"\d+ files: \d+ (ready|unchanged)", text)
    for number in (1, 2, 3):
        assert re.search(rf"^{number}\. .+\?", text, re.MULTILINE), f"question {number}"
    citations = re.findall(r"\[\d+\] (\S+)  characters \d+–\d+\n\s+“", text)
    assert len(citations) >= 3
    assert all((ROOT / citation).is_file() for citation in citations), citations
    seconds = re.search(r"First cited answer after ([\d.]+) s", text)
    assert seconds
    assert float(seconds.group(1)) <= FIRST_ANSWER_SECONDS
    for stage in ("embed", "retrieve", "rerank", "generate", "total"):
        assert re.search(rf"^ *{stage} ", text, re.MULTILINE), stage


def line_after(text: str, title: str) -> str:
    lines = text.splitlines()
    return lines[lines.index(title) + 1]


def pasted(line: str) -> str:
    """What a shell prints for a line that somebody pasted."""
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env=environment(Path("/nowhere")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_without_a_terminal_it_does_its_job_and_ends(tmp_path: Path):
    done = run_cairn("demo", data_dir=tmp_path, timeout_seconds=200)
    assert done.returncode == 0, done.stdout + done.stderr
    check_transcript(done.stdout + done.stderr)
    assert_nothing_left(tmp_path, [])


def test_in_a_terminal_it_stays_up_and_ctrl_c_leaves_nothing(tmp_path: Path):
    command = [sys.executable, "-m", "cli", "demo"]
    with terminal(command, cwd=ROOT, environment=environment(tmp_path)) as screen:
        screen.read_until("Ctrl-C stops it", seconds=200)
        check_transcript(screen.text)
        assert "✓" not in screen.text.partition("Ingesting")[2], "the start is drawn over the rest"
        check_lines(screen.text)
        check_memory(tmp_path)
        state = StateFolder(tmp_path).read()
        assert state
        known = processes_of(tmp_path)
        assert len(known) >= 8
        screen.press_ctrl_c()
        assert screen.wait(40) == 0, screen.text
    assert_nothing_left(tmp_path, ports_of(state), known=known)
    assert not (tmp_path / "run" / "suite.json").exists()


def test_exit_set_ends_it_in_a_terminal_too(tmp_path: Path):
    command = [sys.executable, "-m", "cli", "demo", "docs/concepts.md"]
    with terminal(command, cwd=ROOT, environment=environment(tmp_path, EXIT="1")) as screen:
        assert screen.wait(200) == 0, screen.text
        assert "First cited answer" in screen.text
        assert "Ctrl-C" not in screen.text
    assert_nothing_left(tmp_path, [])


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path):
    command = [sys.executable, "-m", "cli", "demo"]
    with terminal(command, cwd=ROOT, environment=environment(tmp_path)) as screen:
        screen.read_until(r"valkey\s+ready", seconds=60)
        screen.press_ctrl_c()
        screen.wait(40)
    assert_nothing_left(tmp_path, [])


def check_lines(text: str) -> None:
    """Runs every printed line as it stands."""
    curl = json.loads(pasted(line_after(text, "curl")))
    assert curl["citations"]
    assert re.search(r"\[1\]", pasted(line_after(text, "Python, openai client")))
    assert re.search(r"\[1\]", pasted(line_after(text, "gRPC, generated stubs")))
    assert re.fullmatch(
        r"http://127\.0\.0\.1:\d+/#key=crn_\S+", line_after(text, "Console (signs you in)")
    )


def check_memory(data_dir: Path) -> None:
    report = json.loads(run_cairn("status", "--json", data_dir=data_dir).stdout)
    assert report["is_healthy"]
    assert 0 < report["rss_bytes"] <= MAX_RSS_BYTES
    own = sum(process.memory_info().rss for process in processes_of(data_dir))
    assert own <= MAX_RSS_BYTES, f"{own / 1e6:.0f} MB"
