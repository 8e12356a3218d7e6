"""A running suite whose processes send their spans to a receiver of the test's."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.kit.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver
from tests.kit.suite import Suite, ingest_text, running_suite

SERVICES = ("EMBEDDING", "RETRIEVAL", "GENERATION", "INGESTION", "GATEWAY")
CALLER_SPAN = "00f067aa0ba902b7"
TEXT = (
    "# Granite\n\nGranite forms when magma cools slowly below ground.\n\n"
    "# Basalt\n\nBasalt forms when lava cools quickly at the surface."
)


class SilentModel:
    """An endpoint that takes requests and never answers: an engine at work for ever."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads until the other side leaves."""
        await reader.read(1)
        self.asked.set()
        while await reader.read(65536):
            pass
        self.left.set()
        writer.close()


@dataclass(frozen=True)
class Traced:
    """A suite whose processes send their spans to a receiver of ours."""

    suite: Suite
    receiver: OtlpReceiver
    silent: SilentModel

    async def post(
        self,
        path: str,
        body: dict[str, object],
        trace_id: str = "",
        *,
        is_sampled: bool = True,
        **headers: str,
    ) -> tuple[str, httpx.Response]:
        """Posts under a new trace; returns its id and the response."""
        trace_id = trace_id or secrets.token_hex(16)
        headers |= {
            "traceparent": f"00-{trace_id}-{CALLER_SPAN}-{int(is_sampled):02x}",
            "Authorization": f"Bearer {self.suite.api_key}",
        }
        async with httpx.AsyncClient(base_url=self.suite.http_url, trust_env=False) as client:
            response = await client.post(path, json=body, headers=headers, timeout=30)
        return trace_id, response

    async def spans(self, trace_id: str, *wanted: tuple[str, str, str]) -> list[ReceivedSpan]:
        """Spans of a trace once those that are wanted as (service, kind, name) have come."""
        for service, kind, name in wanted:

            def is_wanted(
                span: ReceivedSpan, service: str = service, kind: str = kind, name: str = name
            ) -> bool:
                found = (span.service, span.kind, span.name)
                return span.trace_id == trace_id and found == (service, kind, name)

            await self.receiver.wait_for(is_wanted)
        return [span for span in self.receiver.spans if span.trace_id == trace_id]


@contextlib.asynccontextmanager
async def traced_suite(folder: Path, *options: str, **more: str) -> AsyncIterator[Traced]:
    """Runs a suite with a document, two engines and a receiver of spans while the block lasts.

    Args:
        folder: Its state.
        options: Of `cairn up`.
        more: Environment, which may replace what is set here.
    """
    silent = SilentModel()
    endpoint = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    port = endpoint.sockets[0].getsockname()[1]
    async with endpoint, otlp_receiver() as receiver:
        settings = {f"CAIRN_{name}_OTLP_ENDPOINT": receiver.endpoint for name in SERVICES} | {
            "CAIRN_GENERATION_ENGINES": "extractive,openai",
            "CAIRN_GENERATION_OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "CAIRN_GENERATION_OPENAI_MODEL": "silent",
        }
        running = running_suite(folder, *options, **(settings | more))
        suite = await asyncio.to_thread(running.__enter__)
        try:
            await asyncio.to_thread(ingest_text, suite, rocks=TEXT)
            yield Traced(suite, receiver, silent)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
