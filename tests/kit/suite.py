"""The whole suite, as `cairn up` starts it: five services and Valkey, on free ports."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import internal_secret
from cli.suite_state import StateFolder, SuiteState
from services.rpc.service_identity import HEADER, ServiceIdentity

ROOT = Path(__file__).parents[2]
START_SECONDS = 330


@dataclass(frozen=True)
class Suite:
    """A running suite."""

    data_dir: Path
    http_url: str
    grpc_target: str
    api_key: str
    """The bootstrap admin's."""

    def state(self) -> SuiteState:
        """What runs where, now."""
        state = StateFolder(self.data_dir).read()
        assert state is not None, "the suite is gone"
        return state

    def address(self, service: str) -> str:
        """gRPC address of a service's first instance."""
        return self.state().of_service(service)[0].address

    def credentials(self, service: str) -> tuple[tuple[str, str], ...]:
        """Metadata of calls to a service: the admin's key, or behind the gateway the operator's."""
        if service == "gateway":
            return (("authorization", f"Bearer {self.api_key}"),)
        return ((HEADER, self.identity.sign(service, 600)),)

    @property
    def identity(self) -> ServiceIdentity:
        """The operator, as a caller of services."""
        found = internal_secret.identity(self.data_dir)
        assert found is not None, "the suite has no internal secret"
        return found

    def cairn(
        self, *arguments: str, timeout_seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Runs the program against this suite."""
        return run_cairn(*arguments, data_dir=self.data_dir, timeout_seconds=timeout_seconds)

    def client(self) -> httpx.Client:
        """An HTTP client with the admin's key."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.Client(base_url=self.http_url, headers=headers, timeout=60, trust_env=False)

    def query(self, question: str, **options: Any) -> dict[str, Any]:
        """Asks over REST."""
        with self.client() as client:
            response = client.post("/v1/query", json={"query": question, **options})
        assert response.status_code == 200, response.text
        return response.json()


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """The environment of a `cairn` that knows nothing of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    kept.pop("EXIT", None)
    return kept | {"CAIRN_DATA_DIR": str(data_dir), "COLUMNS": "120"} | more


def run_cairn(
    *arguments: str, data_dir: Path, timeout_seconds: float = 120, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs the program from the repository's root."""
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=ROOT,
        env=environment(data_dir, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


@contextlib.contextmanager
def running_suite(data_dir: Path, *options: str, **more: str) -> Iterator[Suite]:
    """Runs a suite while the block lasts.

    Args:
        data_dir: Its state; must stay until the end.
        options: Of `cairn up`, such as "--replicas", "embedding=2".
        more: Environment, such as CAIRN_GATEWAY_….
    """
    ports = ["--http-port", "0", "--grpc-port", "0"]
    try:
        up = ["up", "--detach", *ports, *options]
        done = run_cairn(*up, data_dir=data_dir, timeout_seconds=START_SECONDS, **more)
        assert done.returncode == 0, f"the suite did not start:\n{done.stderr}"
        state = StateFolder(data_dir).read()
        assert state is not None
        key = Path(state.admin_key_file).read_text("utf-8").strip()
        yield Suite(data_dir, state.http_url, state.grpc_target, key)
    finally:
        run_cairn("down", data_dir=data_dir)


def ingest_text(suite: Suite, **documents: str) -> None:
    """Brings texts in, by name, and waits until they can be searched."""
    folder = suite.data_dir / "sources"
    folder.mkdir(exist_ok=True)
    paths = []
    for name, text in documents.items():
        path = folder / f"{name}.md"
        path.write_text(text, "utf-8")
        paths.append(str(path))
    done = suite.cairn("ingest", "--json", *paths)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {outcome["state"] for outcome in json.loads(done.stdout)["files"]} <= {
        "ready",
        "unchanged",
    }


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """One suite for all tests that leave it as they find it."""
    with running_suite(tmp_path_factory.mktemp("suite") / "data") as running:
        yield running
