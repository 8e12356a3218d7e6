"""Asks a server over the network: `python -m benchmarks.generation.load cairn|http|grpc TARGET`.

Reads one workload from stdin and prints one result, in a process of its own, so that what asking
costs is not counted as the server's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import asdict

import grpc.aio

from benchmarks.generation.workload import SYSTEM_TEXT, Ask, Workload, run

_SECONDS = 600


def ours(channel: grpc.aio.Channel, workload: Workload) -> Ask:
    """Asks the generation service."""
    from cairn.generation.v1 import generation_service_pb2 as pb  # noqa: PLC0415 - absent in other environments
    from cairn.generation.v1 import generation_service_pb2_grpc as rpc  # noqa: PLC0415
    from cairn.types.v1 import scope_pb2  # noqa: PLC0415

    stub = rpc.GenerationServiceStub(channel)
    sampling = pb.Sampling(max_tokens=workload.max_tokens, temperature=0.0)

    async def ask(number: int) -> AsyncIterator[int]:
        request = pb.GenerateRequest(
            scope=scope_pb2.Scope(tenant=f"t{number % 4}", principals=["everyone"]),
            messages=[pb.Message(role=pb.ROLE_USER, content=workload.questions[number])],
            sampling=sampling,
            stream=True,
            start_in_delta=True,
        )
        tokens = 0
        async for event in stub.Generate(request, timeout=_SECONDS):
            kind = event.WhichOneof("event")
            if kind == "delta":
                tokens += event.delta.completion_tokens
                yield tokens
            elif kind == "finished":
                yield event.finished.usage.completion_tokens

    return ask


def theirs(channel: grpc.aio.Channel, workload: Workload) -> Ask:
    """Asks vLLM's own gRPC server: tokens in, tokens out."""
    from smg_grpc_proto import (  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
        vllm_engine_pb2 as pb,
    )
    from smg_grpc_proto import (  # noqa: PLC0415 # pyright: ignore[reportMissingImports]
        vllm_engine_pb2_grpc as rpc,
    )

    stub = rpc.VllmEngineStub(channel)

    async def ask(number: int) -> AsyncIterator[int]:
        request = pb.GenerateRequest(
            request_id=uuid.uuid4().hex,
            tokenized=pb.TokenizedInput(input_ids=workload.token_ids[number]),
            sampling_params=pb.SamplingParams(
                temperature=0.0, top_p=1.0, max_tokens=workload.max_tokens, n=1
            ),
            stream=True,
        )
        tokens = 0
        async for event in stub.Generate(request, timeout=_SECONDS):
            if event.HasField("chunk"):
                tokens += len(event.chunk.token_ids)
                yield tokens
            else:
                yield tokens  # what `complete` counts is its own last piece

    return ask


def over_http(target: str, workload: Workload) -> Ask:
    """Asks vLLM's HTTP server for chat completions as server-sent events."""
    host, _, port = target.rpartition(":")

    async def ask(number: int) -> AsyncIterator[int]:
        body = json.dumps(
            {
                "model": "bench",
                "messages": [
                    {"role": "system", "content": SYSTEM_TEXT},
                    {"role": "user", "content": workload.questions[number]},
                ],
                "max_tokens": workload.max_tokens,
                "temperature": 0.0,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        ).encode()
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        tokens = 0
        try:
            async for line in reader:
                if not line.startswith(b"data: {"):
                    continue
                if b'"usage":{' in line:
                    tokens = json.loads(line[6:])["usage"]["completion_tokens"]
                    yield tokens
                elif b'"content":"' in line and b'"role"' not in line:
                    yield tokens
        finally:
            writer.close()

    return ask


async def main(kind: str, target: str) -> None:
    """Runs the workload of stdin against the target."""
    workload = Workload.from_json(json.loads(sys.stdin.read()))
    if kind == "http":
        result = await run(workload, over_http(target, workload))
    else:
        async with grpc.aio.insecure_channel(target) as channel:
            await channel.channel_ready()
            ask = {"cairn": ours, "grpc": theirs}[kind](channel, workload)
            result = await run(workload, ask)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
