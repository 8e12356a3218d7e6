"""The gateway as a process: settings, start, drain."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.kit.downstream import Downstream, running_downstream

MAX_RSS_BYTES = 180_000_000


class Process:
    """A gateway in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.http_port = 0
        self.lines: list[dict[str, Any]] = []

    async def read_ports(self) -> None:
        assert self.process.stderr is not None
        while not self.http_port:
            line = json.loads(await asyncio.wait_for(self.process.stderr.readline(), 30))
            self.lines.append(line)
            if line["event"] == "listening for http":
                self.http_port = line["port"]

    async def end(self) -> tuple[int, str]:
        _, errors = await asyncio.wait_for(self.process.communicate(), 30)
        return self.process.returncode or 0, errors.decode()


async def start(folder: Path, down: Downstream | None, **options: str) -> Process:
    targets = {f"{k}_target": v for k, v in down.targets.items()} if down else {}
    chosen = {
        "port": "0",
        "http_port": "0",
        "metrics_port": "0",
        "data_dir": str(folder),
        "drain_delay_seconds": "0.5",
        "grace_seconds": "10",
        **targets,
        **options,
    }
    env = {k: v for k, v in os.environ.items() if not k.startswith("CAIRN_")}
    env |= {f"CAIRN_GATEWAY_{name.upper()}": value for name, value in chosen.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    return Process(process)


async def test_drain_finishes_what_runs_and_says_so_first(tmp_path: Path) -> None:
    async with running_downstream() as down:
        down.generation.between_seconds = 0.5
        gateway = await start(tmp_path, down)
        await gateway.read_ports()
        key = (tmp_path / "gateway" / "admin.key").read_text().strip()
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{gateway.http_port}",
            headers={"authorization": f"Bearer {key}"},
            timeout=20,
            trust_env=False,
        ) as client:
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
            assert psutil.Process(gateway.process.pid).memory_info().rss < MAX_RSS_BYTES
            # Two questions: equal ones would be answered as one.
            bodies = [
                {"query": "granite", "stream": True},
                {"query": "hard granite", "stream": False},
            ]
            calls = [asyncio.create_task(client.post("/v1/query", json=body)) for body in bodies]
            while len(down.generation.generate.calls) < 2:
                await asyncio.sleep(0.01)
            gateway.process.terminate()
            while (ready := await client.get("/readyz")).status_code == 200:
                await asyncio.sleep(0.01)
            assert ready.json()["status"] == "draining"
            assert ready.headers["connection"] == "close"
            # Requests that balancers still send while they have not noticed are served.
            assert (await client.get("/v1/collections")).status_code == 200
            stream, plain = await asyncio.gather(*calls)
        assert "event: response" in stream.text
        assert plain.json()["answer"].startswith("Granite forms")
        code, errors = await gateway.end()
    assert code == 0, errors
    assert key not in errors
    assert not any(json.loads(line)["level"] == "error" for line in errors.splitlines())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"http_port": "99999"}, "CAIRN_GATEWAY_HTTP_PORT"),
        ({"nonsense": "1"}, "CAIRN_GATEWAY_NONSENSE"),
        ({"retrieval_target": "nowhere"}, "CAIRN_GATEWAY_RETRIEVAL_TARGET"),
        ({"database_url": "oracle://x"}, "database"),
        ({"valkey_url": "http://x"}, "CAIRN_GATEWAY_VALKEY_URL"),
        ({"pepper": "short"}, "CAIRN_GATEWAY_PEPPER"),
    ],
)
async def test_wrong_settings_are_told_and_end_the_start(
    tmp_path: Path, options: dict[str, str], told: str
) -> None:
    code, errors = await (await start(tmp_path, None, **options)).end()
    assert code in {1, 2}
    assert told in errors
    assert "Traceback" not in errors


async def test_taken_port_is_told(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1])
    code, errors = await (await start(tmp_path, None, http_port=port)).end()
    server.close()
    assert code == 1
    assert "CAIRN_GATEWAY_HTTP_PORT" in errors
