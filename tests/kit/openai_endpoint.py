"""An OpenAI-compatible endpoint as a process of its own, which tests kill, freeze and make err.

Run as a script: `openai_endpoint.py PORT FOLDER`. The file FOLDER/faults.json says how it
misbehaves now: {"error_share": 0.2, "first_seconds": 0}.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.kit.ports import free_port

ANSWER = "The endpoint wrote this."


class Endpoint:
    """A running endpoint.

    Args:
        folder: For what it is told.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """What engines are configured with."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Starts it and waits until it listens."""
        self.misbehave()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.openai_endpoint", str(self.port), str(self._folder)]
        )
        ready = self._folder / "ready"
        ends_at = time.monotonic() + 30
        while not ready.exists():
            assert time.monotonic() < ends_at, "the endpoint did not start"
            time.sleep(0.02)
        ready.unlink()

    def misbehave(self, *, error_share: float = 0.0, first_seconds: float = 0.0) -> None:
        """Says what share of requests fails and how long the first text takes."""
        text = json.dumps({"error_share": error_share, "first_seconds": first_seconds})
        scratch = self._folder / "faults.new"
        scratch.write_text(text)
        scratch.rename(self._folder / "faults.json")

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal; one that kills is waited for."""
        assert self._process is not None
        self._process.send_signal(number)
        if number is signal.SIGKILL:
            self._process.wait()

    def close(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def openai_endpoint(folder: Path) -> Iterator[Endpoint]:
    """Runs an endpoint for the block."""
    endpoint = Endpoint(folder)
    try:
        endpoint.start()
        yield endpoint
    finally:
        endpoint.close()


def _serve(port: int, folder: Path) -> None:
    luck = random.Random(3)

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            faults = json.loads((folder / "faults.json").read_text())
            if luck.random() < faults["error_share"]:
                self.send_error(503)
                return
            time.sleep(faults["first_seconds"])
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for word in ANSWER.split():
                self._say({"choices": [{"delta": {"content": f"{word} "}}]})
            self._say({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

        def _say(self, event: object) -> None:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())

    server = ThreadingHTTPServer(("127.0.0.1", port), Answering)
    (folder / "ready").touch()
    server.serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
