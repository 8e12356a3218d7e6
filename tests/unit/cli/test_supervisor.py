"""The supervisor, with tiny processes of our own."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from cli.log_files import LogFolder
from cli.process_table import rss_bytes, start_ticks
from cli.supervisor import Child, Condition, Pace, ProcessSpec, StartError, Supervisor

QUICK = Pace(
    first_backoff_seconds=0.01,
    max_backoff_seconds=0.05,
    starting_poll_seconds=0.01,
    ready_poll_seconds=0.05,
    stop_seconds=0.5,
)

# Ready when its file exists; writes its name to `order` when it is told to stop.
POLITE = """
import pathlib, signal, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
def stop(*_):
    with (folder / "order").open("a") as order:
        order.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(folder / (name + ".ready")).touch()
while True:
    time.sleep(60)
"""
STUBBORN = POLITE.replace("def stop(*_):", "def stop(*_):\n    return")
PARENT = POLITE.replace(
    "while True:",
    "import subprocess\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "(folder / 'grandchild').write_text(str(child.pid))\n"
    "while True:",
)


class FileProbe:
    def __init__(self, path: Path) -> None:
        self.path = path

    async def is_ready(self) -> bool:
        return self.path.exists()


def spec(folder: Path, name: str, program: str = POLITE, stop_rank: int = 0) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-c", program, name, str(folder)),
        environment=os.environ,
        folder=folder,
        probe=FileProbe(folder / f"{name}.ready"),
        stop_rank=stop_rank,
    )


def supervise(folder: Path, *specs: ProcessSpec, on_change=lambda _child: None) -> Supervisor:
    return Supervisor(specs, LogFolder(folder / "logs"), on_change=on_change, pace=QUICK)


async def until(condition, what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    return bool(start_ticks(pid))


async def test_all_become_ready_and_stop_in_order_of_rank(tmp_path: Path):
    specs = [
        spec(tmp_path, "last", stop_rank=2),
        spec(tmp_path, "first"),
        spec(tmp_path, "mid", stop_rank=1),
    ]
    async with supervise(tmp_path, *specs) as supervisor:
        await supervisor.wait_ready(20)
        pids = [child.pid for child in supervisor.children]
        assert all(is_alive(pid) for pid in pids)
        assert all(rss_bytes(pid) > 1024 * 1024 for pid in pids)
    assert (tmp_path / "order").read_text().split() == ["first", "mid", "last"]
    assert not any(is_alive(pid) for pid in pids)
    assert {child.condition for child in supervisor.children} == {Condition.STOPPED}


async def test_crashed_process_is_started_again(tmp_path: Path):
    seen: list[Condition] = []
    async with supervise(
        tmp_path, spec(tmp_path, "one"), on_change=lambda child: seen.append(child.condition)
    ) as supervisor:
        await supervisor.wait_ready(20)
        child = supervisor.children[0]
        for round_number in (1, 2):
            crashed = child.pid
            (tmp_path / "one.ready").unlink()
            os.kill(crashed, signal.SIGKILL)
            await until(
                lambda: child.restart_count == round_number and child.condition is Condition.READY,  # noqa: B023
                "restart",
            )
            assert child.pid != crashed
            assert not is_alive(crashed)
    assert seen[:6] == ["starting", "ready", "restarting", "starting", "ready", "restarting"]


async def test_process_that_ends_before_it_is_ready_fails_the_start(tmp_path: Path):
    broken = spec(tmp_path, "broken", "print('no such setting: X'); raise SystemExit(2)")
    with pytest.raises(StartError, match="broken ended with exit code 2") as caught:
        async with supervise(tmp_path, spec(tmp_path, "fine"), broken) as supervisor:
            await supervisor.wait_ready(20)
    assert LogFolder(tmp_path / "logs").tail(caught.value.child.spec.name, 5) == [
        "no such setting: X"
    ]
    assert not any(child.pid for child in supervisor.children)


async def test_process_that_is_never_ready_fails_the_start_by_deadline(tmp_path: Path):
    with pytest.raises(StartError, match=r"slow was not ready after 0\.2 seconds"):
        async with supervise(
            tmp_path, spec(tmp_path, "slow", "import time; time.sleep(60)")
        ) as supervisor:
            await supervisor.wait_ready(0.2)


async def test_missing_program_fails_the_start(tmp_path: Path):
    missing = ProcessSpec(
        "gone", ("/no/such/program",), os.environ, tmp_path, FileProbe(tmp_path / "x")
    )
    with pytest.raises(StartError, match="gone ended with exit code 1"):
        async with supervise(tmp_path, missing) as supervisor:
            await supervisor.wait_ready(20)


async def test_process_that_ignores_the_request_is_killed_within_the_bound(tmp_path: Path):
    async with supervise(tmp_path, spec(tmp_path, "deaf", STUBBORN)) as supervisor:
        await supervisor.wait_ready(20)
        pid = supervisor.children[0].pid
        began = time.monotonic()
    assert 0.5 <= time.monotonic() - began < 5
    assert not is_alive(pid)


async def test_hurry_kills_at_once(tmp_path: Path):
    patient = Pace(starting_poll_seconds=0.01, stop_seconds=60)
    supervisor = Supervisor(
        [spec(tmp_path, "deaf", STUBBORN)],
        LogFolder(tmp_path / "logs"),
        on_change=lambda child: (
            supervisor.hurry() if child.condition is Condition.STOPPING else None
        ),
        pace=patient,
    )
    async with supervisor:
        await supervisor.wait_ready(20)
        pid = supervisor.children[0].pid
    assert not is_alive(pid)


async def test_children_of_a_crashed_process_do_not_stay(tmp_path: Path):
    async with supervise(tmp_path, spec(tmp_path, "one", PARENT)) as supervisor:
        await until((tmp_path / "grandchild").exists, "grandchild")
        await until((tmp_path / "grandchild").read_text, "its id")
        grandchild = int((tmp_path / "grandchild").read_text())
        assert is_alive(grandchild)
        os.kill(supervisor.children[0].pid, signal.SIGKILL)
        await until(lambda: not is_alive(grandchild), "end of the grandchild")


async def test_unready_process_is_reported(tmp_path: Path):
    async with supervise(tmp_path, spec(tmp_path, "one")) as supervisor:
        await supervisor.wait_ready(20)
        (tmp_path / "one.ready").unlink()
        child: Child = supervisor.children[0]
        await until(lambda: child.condition is Condition.UNREADY, "unready")
        (tmp_path / "one.ready").touch()
        await until(lambda: child.condition is Condition.READY, "ready")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
async def test_killed_supervisor_leaves_nothing_behind(tmp_path: Path, name: str):
    """Its processes, and what those started, end although nobody told them."""
    script = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from tests.unit.cli.test_supervisor import PARENT, STUBBORN, spec, supervise

        async def main(folder):
            specs = [spec(folder, "one", PARENT), spec(folder, "deaf", STUBBORN)]
            async with supervise(folder, *specs) as supervisor:
                await supervisor.wait_ready(20)
                (folder / "pids.tmp").write_text(" ".join(str(c.pid) for c in supervisor.children))
                (folder / "pids.tmp").rename(folder / "pids")
                await asyncio.sleep(60)

        asyncio.run(main(Path(sys.argv[1])))
        """
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as process:
        try:
            await until((tmp_path / "pids").exists, "start")
            await until((tmp_path / "grandchild").exists, "grandchild")
            await until((tmp_path / "grandchild").read_text, "its id")
            pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
            pids.append(int((tmp_path / "grandchild").read_text()))
            assert all(is_alive(pid) for pid in pids)
        finally:
            process.send_signal(signal.Signals[name])
    for pid in pids:
        await until(lambda pid=pid: not is_alive(pid), f"end of {pid}")
