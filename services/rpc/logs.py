"""Structured logs: one JSON object a line on stderr, and only fields that are known to be harmless.

Prompts, queries, document text and secrets must not reach a log. A field that is not listed here,
or by the service when it configures its logs, is dropped.
"""

from __future__ import annotations

import contextlib
import functools
import hmac
import io
import logging
import secrets
import sys
import threading
import traceback
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TextIO, cast

import structlog
from opentelemetry.trace import format_span_id, format_trace_id
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from services.rpc.spans import CURRENT

ALLOWED_FIELDS = frozenset(
    {
        "ts", "level", "service", "event", "trace_id", "span_id",
        # calls
        "method", "code", "reason", "duration_ms", "tenant", "peer", "target", "error_type",
        "traceback", "retry_after_seconds", "attempt", "cost", "limit", "stage",
        # processes
        "host", "port", "metrics_port", "pid", "version", "signal", "state", "seconds", "exit_code",
        "logger", "message", "setting", "service_name", "data_dir", "problem",
        # work, in counts and names that are no content
        "collection", "collection_id", "document_id", "job_id", "model", "engine", "backend",
        "count", "chunks", "documents", "vectors", "tokens", "bytes", "pages", "queue_depth",
        "sequence", "generation", "segment", "worker", "lease_seconds", "content_type", "status",
        "route", "key_id", "request_id", "actor", "query_hash", "place",
    }
)  # fmt: skip
"""Fields that any service may log."""

_tenant: ContextVar[str] = ContextVar("cairn_log_tenant", default="")
"""Tenant of the running request: one variable costs a tenth of structlog's bound ones."""
_least_level = 0
_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
"""Level below which lines are not written; nothing is asked of structlog for them."""
_success_bound = 0
"""Successes of traces whose number is below are logged: the same in every service, and the same
ones that are traced first."""
_hash_key = secrets.token_bytes(32)
_TRACE_BITS = (1 << 64) - 1
_MAX_SOURCE_BYTES = 2_000_000


class _FieldFilter:
    """Drops what is not allowed."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def __call__(self, _logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return {key: value for key, value in event.items() if key in self._allowed}


class _Unfailing(io.TextIOBase):
    """Loses lines rather than the work they tell of: a full disk must not end a worker."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def configure_logging(
    service: str, level: str = "info", *, fields: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Sends the process's logs to stderr as JSON; may be called again.

    Args:
        service: Value of the field `service`.
        level: Least level that is written: debug, info, warning or error.
        fields: Further fields this service may log.
        stream: Where to write instead of stderr.
    """
    global _least_level  # noqa: PLW0603 - as global as the configuration it mirrors
    number = logging.getLevelNamesMapping()[level.upper()]
    _least_level = number
    processors: list[Any] = [
        _add_tenant,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        _add_constant("service", service),
        _add_trace,
        _render_exception,
        _FieldFilter(ALLOWED_FIELDS.union(fields)),
        structlog.processors.JSONRenderer(),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(
            file=cast("TextIO", _Unfailing(stream or sys.stderr))
        ),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _LibraryLogs)]:
        root.removeHandler(handler)
    root.addHandler(_LibraryLogs(level=max(number, logging.WARNING)))


def log_what_would_be_printed() -> None:
    """Logs warnings and lost exceptions; by default their texts, which may quote, go to stderr."""
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_lost_thread
    sys.unraisablehook = _log_unraisable


def get_logger() -> FilteringBoundLogger:
    """Returns the logger: `get_logger().info("index opened", collection="docs", vectors=10)`."""
    return structlog.get_logger()


def bind_tenant(tenant: str) -> None:
    """Names the tenant in each further line of the running request."""
    _tenant.set(tenant)


def forget_tenant() -> None:
    """Names no tenant in what follows: a new request begins."""
    _tenant.set("")


def is_written(level: str) -> bool:
    """Whether lines of a level are written: asking costs a hundredth of a line that is not."""
    return _LEVELS[level] >= _least_level


def sample_successes(ratio: float) -> None:
    """Sets which share of the requests is logged though nothing went wrong, 0 to 1."""
    global _success_bound  # noqa: PLW0603 - as global as the logs
    _success_bound = round(ratio * (1 << 64))


def success_level() -> str:
    """Returns the level to log a success of the running request at: debug, or info in the share."""
    if not _success_bound:
        return "debug"
    trace_id = CURRENT.get().get_span_context().trace_id
    return "info" if trace_id & _TRACE_BITS < _success_bound else "debug"


def set_hash_key(secret: bytes) -> None:
    """Makes hashes in logs the same over processes that share a secret."""
    global _hash_key  # noqa: PLW0603 - as global as the logs
    _hash_key = hmac.digest(secret, b"cairn: texts in logs", "sha256")


def keyed_hash(text: str) -> str:
    """Returns what stands for a text in a log: tells repetitions, and nothing without the key."""
    return hmac.digest(_hash_key, text.encode(), "sha256").hex()[:16]


def exception_fields(error: BaseException) -> dict[str, Any]:
    """Returns the type and the frames of `error`, without its text, which may quote a document."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "error_type": qualified_name(error),
        "traceback": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def qualified_name(error: BaseException) -> str:
    """Returns the type of `error` with its module, as `error.type` wants it."""
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


class _LibraryLogs(logging.Handler):
    """Passes warnings of libraries on, as lines of the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        fields = {} if error is None else exception_fields(error)
        method = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(get_logger(), method)(
            "library log",
            logger=record.name,
            message=_template(record),
            place=f"{record.filename}:{record.lineno}",
            **fields,
        )


def _template(record: logging.LogRecord) -> str:
    """Returns a library's message without what was filled in, which may quote a document.

    A message that does not stand in the library's source as it is was put together: it is left out.
    """
    text = record.msg if isinstance(record.msg, str) else ""
    return text if text and text in _source(record.pathname) else ""


@functools.lru_cache(maxsize=64)
def _source(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if Path(path).stat().st_size <= _MAX_SOURCE_BYTES:
            return Path(path).read_text("utf-8")
    return ""


def _log_lost_thread(lost: threading.ExceptHookArgs) -> None:
    if lost.exc_value is not None and not isinstance(lost.exc_value, SystemExit):
        get_logger().error("a thread failed", **exception_fields(lost.exc_value))


def _log_unraisable(lost: sys.UnraisableHookArgs) -> None:
    if lost.exc_value is not None:
        get_logger().error("an exception had nowhere to go", **exception_fields(lost.exc_value))


def _add_constant(key: str, value: str) -> Any:
    def add(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        event[key] = value
        return event

    return add


def _add_tenant(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    tenant = _tenant.get()
    if tenant:
        event.setdefault("tenant", tenant)
    return event


def _add_trace(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    context = CURRENT.get().get_span_context()
    if context.is_valid:
        event["trace_id"] = format_trace_id(context.trace_id)
        event["span_id"] = format_span_id(context.span_id)
    return event


def _render_exception(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event.update(exception_fields(error))
    return event
