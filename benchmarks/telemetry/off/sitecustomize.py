"""Python without telemetry: run at the start of each process of the side that has none.

Not a mode of the services: nobody should run them blind. What the other side pays for is taken out
here, from outside: metrics become nothing, spans become nothing, headers are neither written nor
read.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any


class _Nothing:
    """Stands for any metric."""

    def __init__(self, *_args: Any, **_more: Any) -> None:
        pass

    def labels(self, *_args: Any, **_more: Any) -> _Nothing:
        return self

    def inc(self, *_args: Any) -> None:
        pass

    dec = set = observe = set_function = inc


def _take_out() -> None:
    import prometheus_client  # noqa: PLC0415 - only in processes that have it

    for kind in ("Counter", "Gauge", "Histogram"):
        setattr(prometheus_client, kind, _Nothing)

    from services.rpc import instruments  # noqa: PLC0415

    instruments.Counter = instruments.Histogram = _Nothing

    from opentelemetry.trace import INVALID_SPAN  # noqa: PLC0415

    from services.rpc import telemetry, trace_headers  # noqa: PLC0415

    class NoSpan:
        """Stands for a stage."""

        def __init__(self, *_args: Any, **_more: Any) -> None:
            pass

        def __enter__(self) -> Any:
            return INVALID_SPAN

        def __exit__(self, *_error: object) -> None:
            pass

    @contextlib.contextmanager
    def serving(_self: Any, *_args: Any, **_more: Any) -> Iterator[Any]:
        yield INVALID_SPAN

    telemetry.span = NoSpan
    telemetry.start_span = lambda *_args, **_more: INVALID_SPAN
    trace_headers.headers_of = lambda _span: []
    telemetry.active_telemetry = lambda: None
    setattr(telemetry.Telemetry, "serving", serving)  # noqa: B010 - of another type


if any("services." in each for each in sys.orig_argv):
    _take_out()
