"""Lines that a person can paste into a shell, against a running suite."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.connection import Connection


def console_url(connection: Connection) -> str:
    """Returns the console's address; the key stands in the fragment, which no browser sends."""
    return f"{connection.url}/#key={connection.api_key}"


def curl_line(connection: Connection, question: str) -> str:
    """Returns a question through REST."""
    body = json.dumps({"query": question}, ensure_ascii=False)
    return (
        f"curl -sS {connection.url}/v1/query -H 'Authorization: Bearer {connection.api_key}' "
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )


def openai_line(connection: Connection, model: str, question: str) -> str:
    """Returns a question through the official OpenAI client."""
    messages = f'[{{"role": "user", "content": {_literal(question)}}}]'
    program = (
        "from openai import OpenAI; "
        f'client = OpenAI(base_url="{connection.url}/openai/v1", api_key="{connection.api_key}"); '
        f'print(client.chat.completions.create(model="{model}", messages={messages})'
        ".choices[0].message.content)"
    )
    return f"{_python()} -c {shlex.quote(program)}"


def grpc_line(grpc_target: str, api_key: str, question: str) -> str:
    """Returns a question through the gateway's gRPC, with the generated stubs."""
    program = (
        "import grpc; "
        "from cairn.gateway.v1 import gateway_service_pb2 as pb, gateway_service_pb2_grpc as rpc; "
        f'gateway = rpc.GatewayServiceStub(grpc.insecure_channel("{grpc_target}")); '
        f"print(gateway.Query(pb.QueryRequest(query={_literal(question)}), "
        f'metadata=[("authorization", "Bearer {api_key}")]).answer)'
    )
    return f"{_python()} -c {shlex.quote(program)}"


def _literal(text: str) -> str:
    """Returns a Python string literal in double quotes: single ones would need shell escapes."""
    return json.dumps(text, ensure_ascii=False)


def _python() -> str:
    """Returns the interpreter that has the clients, as short as it can be said from here."""
    python, here = Path(sys.executable), Path.cwd()
    shown = python.relative_to(here) if python.is_relative_to(here) else python
    return shlex.quote(str(shown))
