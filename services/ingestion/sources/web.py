"""Fetches documents by their web addresses, within bounds, and only from the public Internet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpcore

from services.ingestion.document import ContentCollector
from services.ingestion.sources.folder import too_large
from services.ingestion.sources.model import Fetched, Found, ItemFailedError, ItemGoneError
from services.ingestion.sources.web_address import AddressRefusedError, Resolver, check_url

if TYPE_CHECKING:
    from services.ingestion.document import Content
    from services.ingestion.sources.model import Source

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_USER_AGENT = "cairn-ingestion/1.0"
_BATCH = 20
_MAX_INFLATED_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds on one fetch."""

    max_bytes: int
    seconds: float = 30.0
    """For all of it, redirects included."""
    max_redirects: int = 5


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that were checked, and to nothing else.

    Args:
        resolver: Looks up and checks; each connection asks once and uses what it was told.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        error: Exception = httpcore.ConnectError("no address")
        for address in await self._resolver.resolve(host, port):
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                error = failed
        raise error

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class has it
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("no unix sockets")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    content: Content | None = None


@dataclass(slots=True)
class WebFetcher:
    """Fetches.

    Args:
        resolver: Refuses addresses inside the network.
        limits: Bounds.
        spool_folder: Where large documents lie while they come in.
        ssl_context: For https; None: the system's certificates.
    """

    resolver: Resolver
    limits: WebLimits
    spool_folder: Path
    ssl_context: ssl.SSLContext | None = None

    async def fetch(self, url: str, known_version: str = "") -> Fetched | None:
        """Returns what is at an address, or None when it still has the version that is known.

        Raises:
            ItemGoneError: 404 or 410.
            ItemFailedError: anything else that is not a document.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._fetch(url, known_version)
        except TimeoutError:
            raise _failed(
                f"did not come within {self.limits.seconds:g} seconds", is_retryable=True
            ) from None
        except AddressRefusedError as error:
            raise ItemFailedError("ADDRESS_REFUSED", f"{error}") from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProxyError) as error:
            raise _failed(
                f"the server does not answer ({type(error).__name__})", is_retryable=True
            ) from error
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol, ssl.SSLError) as error:
            raise _failed(f"the server does not speak HTTP ({type(error).__name__})") from error

    async def _fetch(self, url: str, known_version: str) -> Fetched | None:
        at = url
        for _ in range(self.limits.max_redirects + 1):
            check_url(at)
            answer = await self._get(at, _conditions(known_version) if at == url else {})
            location = answer.headers.get("location", "")
            if answer.status in _REDIRECTS and location:
                at = _redirected(at, location)
                continue
            if answer.status == 304 and known_version:
                return None
            _check_status(answer.status)
            assert answer.content is not None
            return _fetched(at, answer, answer.content)
        raise _failed(f"was redirected more than {self.limits.max_redirects} times")

    async def _get(self, url: str, conditions: Mapping[str, str]) -> _Answer:
        parts = urlsplit(url)
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        request_url = httpcore.URL(
            scheme=parts.scheme.encode(),
            host=check_url(url).host.encode(),
            port=parts.port,
            target=_quoted(target),
        )
        headers = {
            "Host": _host_header(url),
            "User-Agent": _USER_AGENT,
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            "Connection": "close",
            **conditions,
        }
        async with (
            self._connections() as pool,
            pool.stream(
                b"GET", request_url, headers=[(k.encode(), v.encode()) for k, v in headers.items()]
            ) as response,
        ):
            got = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            if response.status != 200:
                return _Answer(response.status, got)
            content = await self._body(response, got)
            return _Answer(response.status, got, content)

    @contextlib.asynccontextmanager
    async def _connections(self) -> AsyncIterator[httpcore.AsyncConnectionPool]:
        # One connection per fetch: none that was made to a checked name is used for another.
        async with httpcore.AsyncConnectionPool(
            ssl_context=self.ssl_context,
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=_PinnedBackend(self.resolver),
        ) as pool:
            yield pool

    async def _body(self, response: httpcore.Response, headers: Mapping[str, str]) -> Content:
        most = self.limits.max_bytes
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise too_large(int(declared), most)
        inflate = _inflater(headers.get("content-encoding", ""))
        collector = ContentCollector(self.spool_folder)
        async for received in response.aiter_stream():
            for data in inflate(received):
                if collector.size_bytes + len(data) > most:
                    raise too_large(collector.size_bytes + len(data), most)
                await asyncio.to_thread(collector.add, data)
        return collector.finish()


class WebReader:
    """The addresses of a source.

    Args:
        source: Names them.
        fetcher: Fetches them.
    """

    def __init__(self, source: Source, fetcher: WebFetcher) -> None:
        self._urls = source.urls
        self._fetcher = fetcher
        self.excluded_count = 0

    async def scan(self) -> AsyncIterator[Sequence[Found]]:
        """Yields the addresses (see `SourceReader`)."""
        for start in range(0, len(self._urls), _BATCH):
            yield [Found(path=url, uri=url) for url in self._urls[start : start + _BATCH]]

    async def find(self, path: str) -> Found | None:
        """Returns one of the addresses (see `SourceReader`)."""
        return Found(path=path, uri=path) if path in self._urls else None

    async def read(self, item: Found, known_version: str) -> Fetched | None:
        """Fetches (see `SourceReader`)."""
        return await self._fetcher.fetch(item.path, known_version)


def _conditions(known_version: str) -> dict[str, str]:
    """Returns the headers that ask for nothing when nothing changed."""
    kind, _, value = known_version.partition(":")
    if kind == "etag":
        return {"If-None-Match": value}
    return {"If-Modified-Since": value} if kind == "date" else {}


def _version(headers: Mapping[str, str]) -> str:
    if etag := headers.get("etag"):
        return f"etag:{etag[:1000]}"
    if date := headers.get("last-modified"):
        return f"date:{date[:100]}"
    return ""


def _redirected(url: str, location: str) -> str:
    try:
        return urlsplit(urljoin(url, location))._replace(fragment="").geturl()
    except ValueError:
        raise _failed("was redirected to something that is no address") from None


def _check_status(status: int) -> None:
    if status in _GONE:
        raise ItemGoneError
    if status in {401, 403, 407}:
        raise ItemFailedError("FETCH_FAILED", f"the server does not give it to us (HTTP {status})")
    if status != 200:
        raise _failed(f"the server answered HTTP {status}", is_retryable=status >= 429)


def _fetched(url: str, answer: _Answer, content: Content) -> Fetched:
    headers = answer.headers
    modified_us = 0
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        modified = parsedate_to_datetime(headers.get("last-modified", ""))
        modified_us = max(0, int(modified.timestamp() * 1e6))
    return Fetched(
        content,
        file_name=_file_name(url, headers.get("content-disposition", "")),
        content_type=_printable(headers.get("content-type", ""))[:256],
        version=_version(headers),
        modified_us=modified_us,
    )


def _file_name(url: str, disposition: str) -> str:
    named = ""
    if disposition:
        message = Message()
        message["Content-Disposition"] = _printable(disposition)[:1000]
        named = message.get_filename() or ""
    name = named or unquote(urlsplit(url).path, errors="replace")
    return _printable(PurePosixPath(name.replace("\\", "/")).name)[:255]


def _printable(text: str) -> str:
    return "".join(each for each in text if each.isprintable())


def _quoted(target: str) -> bytes:
    """Returns the request's target with everything that is not ASCII escaped."""
    return b"".join(
        bytes([byte]) if 0x21 <= byte < 0x7F else b"%%%02X" % byte for byte in target.encode()
    )


def _host_header(url: str) -> str:
    target = check_url(url)
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = {"http": 80, "https": 443}[target.scheme]
    return host if target.port == default else f"{host}:{target.port}"


def _inflater(encoding: str) -> Any:
    """Returns what undoes a response's compression, a bounded piece at a time."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return lambda data: (data,)
    if encoding not in {"gzip", "x-gzip"}:
        raise _failed(f"the server sent content encoding {encoding[:40]!r}, which is not asked for")
    machine = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def inflate(data: bytes) -> Iterable[bytes]:
        try:
            while data:
                yield machine.decompress(data, _MAX_INFLATED_STEP)
                data = machine.unconsumed_tail
        except zlib.error:
            raise _failed("the server sent damaged gzip") from None

    return inflate


def _failed(message: str, *, is_retryable: bool = False) -> ItemFailedError:
    return ItemFailedError("FETCH_FAILED", message, is_retryable=is_retryable)
