"""Talks to the gateway's REST API."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from cli.errors import CliError, NotRunningError

if TYPE_CHECKING:
    from cli.connection import Connection

_TIMEOUT_SECONDS = 120.0
_CONNECT_TIMEOUT_SECONDS = 5.0
_MAX_RETRY_COUNT = 8
_MAX_RETRY_WAIT_SECONDS = 15.0


class GatewayError(CliError):
    """The gateway refused, or failed."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        """Reads an `application/problem+json` document."""
        self.status = status
        self.reason = str(problem.get("reason") or "")
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.retry_after_seconds = problem.get("retry_after_seconds")
        notes = [f"reason {self.reason}"] if self.reason else []
        if trace_id := problem.get("trace_id"):
            notes.append(f"trace {trace_id}")
        super().__init__(self.detail, ", ".join(notes))


@dataclass(frozen=True, slots=True)
class Reply:
    """A response that was no error."""

    body: str
    """Exactly as it came."""

    @property
    def content(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event."""

    name: str
    data: str


class GatewayClient:
    """One gateway, one key; an `async with` block."""

    def __init__(self, connection: Connection) -> None:
        """Connects when the first request is made."""
        self._url = connection.url
        self._http = httpx.AsyncClient(
            base_url=connection.url,
            headers={"Authorization": f"Bearer {connection.api_key}"},
            timeout=httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS),
            # The suite is on this machine, or named on purpose.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: Any) -> Reply:
        """Reads; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return await self._request("GET", path, params=given)

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Sends JSON."""
        return await self._request("POST", path, json=body)

    async def delete(self, path: str, **parameters: Any) -> Reply:
        """Deletes."""
        return await self._request("DELETE", path, params=parameters)

    async def put(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Sends JSON that replaces what is there."""
        return await self._request("PUT", path, json=body)

    async def upload(self, path: Path, content_type: str, fields: Mapping[str, Any]) -> Reply:
        """Submits a file as it is read; a gateway that is busy is asked again when it says so.

        Raises:
            OSError: it cannot be read.
        """
        for attempt in range(_MAX_RETRY_COUNT + 1):
            with path.open("rb") as file:
                try:
                    return await self._request(
                        "POST",
                        "/v1/documents",
                        files={"file": (path.name, file, content_type)},
                        data=fields,
                    )
                except GatewayError as error:
                    if error.status not in {429, 503} or attempt == _MAX_RETRY_COUNT:
                        raise
                    wait = float(error.retry_after_seconds or 0.2 * 2**attempt)
            await asyncio.sleep(min(wait, _MAX_RETRY_WAIT_SECONDS))
        raise AssertionError  # the loop returns or raises

    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        """Sends JSON and yields the events of the response.

        Raises:
            GatewayError: a refusal, or an `error` event.
        """
        with self._reachable():
            async with self._http.stream("POST", path, json={**body, "stream": True}) as response:
                if response.is_error:
                    await response.aread()
                    raise _error(response)
                async for event in _events(response.aiter_lines()):
                    if event.name == "error":
                        raise GatewayError(200, json.loads(event.data))
                    yield event

    async def _request(self, method: str, path: str, **options: Any) -> Reply:
        with self._reachable():
            response = await self._http.request(method, path, **options)
        if response.is_error:
            raise _error(response)
        return Reply(response.text)

    @contextlib.contextmanager
    def _reachable(self) -> Any:
        try:
            yield
        except httpx.ConnectError:
            raise NotRunningError(
                f"no gateway answers at {self._url}", "start it with `cairn up`; see `cairn status`"
            ) from None
        except httpx.TimeoutException:
            raise CliError(
                f"{self._url} did not answer in time", "see `cairn status` and its logs"
            ) from None
        except httpx.TransportError as error:
            raise CliError(f"the connection to {self._url} broke: {error}") from None


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    name, data = "message", []
    async for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line and data:
            yield Event(name, "\n".join(data))
            name, data = "message", []


def _error(response: httpx.Response) -> GatewayError:
    problem: dict[str, Any] = {"title": f"HTTP {response.status_code} {response.reason_phrase}"}
    header = response.headers.get("Retry-After", "")
    if header.isdecimal():
        problem["retry_after_seconds"] = int(header)
    with contextlib.suppress(ValueError, TypeError):  # whatever a proxy in between may send
        sent = dict(response.json())
        problem |= {name: value for name, value in sent.items() if value is not None}
    return GatewayError(response.status_code, problem)
