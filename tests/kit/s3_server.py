"""As much of S3 as listing and reading a bucket takes."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DATE = "2026-01-31T12:00:00.000Z"
_HTTP_DATE = "Sat, 31 Jan 2026 12:00:00 GMT"


@dataclass
class S3Server:
    """The server and its objects, by "bucket/key"."""

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    refuses: bool = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Runs a server while the block runs."""
    state = S3Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._object(is_head=True)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            if state.refuses:
                self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")
            elif "list-type" in query:
                self._list(parts.path.strip("/"), query)
            else:
                self._object(is_head=False)

        def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
            prefix = query.get("prefix", [""])[0]
            found = sorted(
                (name.partition("/")[2], data)
                for name, data in state.objects.items()
                if name.startswith(f"{bucket}/{prefix}")
            )
            entries = "".join(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified>"
                f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
                for key, data in found
            )
            body = (
                '<?xml version="1.0" encoding="UTF-8"?>'
                '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
                f"<KeyCount>{len(found)}</KeyCount><MaxKeys>1000</MaxKeys>"
                f"<IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
            )
            self._answer(200, body.encode(), {"Content-Type": "application/xml"})

        def _object(self, *, is_head: bool) -> None:
            name = unquote(urlsplit(self.path).path).lstrip("/")
            data = state.objects.get(name)
            if data is None:
                self._answer(404, b"" if is_head else b"<Error><Code>NoSuchKey</Code></Error>")
                return
            headers = {"ETag": _etag(data), "Last-Modified": _HTTP_DATE, "Accept-Ranges": "bytes"}
            status = 200
            size = len(data)
            if (span := self.headers.get("Range")) and not is_head:
                first, _, last = span.removeprefix("bytes=").partition("-")
                end = min(int(last) if last else size - 1, size - 1)
                headers["Content-Range"] = f"bytes {first}-{end}/{size}"
                data = data[int(first) : end + 1]
                status = 206
            if not is_head:
                state.reads.append(name)
            self._answer(status, data, headers, is_head=is_head)

        def _answer(
            self,
            status: int,
            body: bytes,
            headers: dict[str, str] | None = None,
            *,
            is_head: bool = False,
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not is_head:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
