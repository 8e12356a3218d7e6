"""Runs a service's main coroutine as a process: loop, signals, exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog

from services.rpc.errors import StartupError
from services.rpc.logs import exception_fields, get_logger, log_what_would_be_printed

EXIT_OK = 0
EXIT_FAILED = 1


def run_service(main: Coroutine[Any, Any, None]) -> int:
    """Runs `main` on a uvloop and returns the process's exit code.

    A signal before the server waits for one (while a model loads, say) ends the process in order,
    with 0.
    """
    # gRPC's core otherwise writes lines of its own form to stderr, on each connection that ends.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    log_what_would_be_printed()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(main))


async def _run(main: Coroutine[Any, Any, None]) -> int:
    loop = asyncio.get_running_loop()
    task = loop.create_task(main)
    signalled: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        signalled.append(number)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except StartupError as error:
        return _cannot_start(error)
    except asyncio.CancelledError:
        if not signalled:
            raise
        get_logger().info("stopped before it was ready", signal=signalled[0].name)
    except Exception as error:
        # Whoever runs tasks beside its start raises a group, whatever is in it.
        if isinstance(error, ExceptionGroup) and (reason := _startup_error(error)) is not None:
            return _cannot_start(reason)
        if not structlog.is_configured():
            raise
        get_logger().critical("the service failed", **exception_fields(error))
        return EXIT_FAILED
    return EXIT_OK


def _cannot_start(error: StartupError) -> int:
    print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 - for whoever starts it
    return EXIT_FAILED


def _startup_error(group: BaseExceptionGroup[BaseException]) -> StartupError | None:
    for error in group.exceptions:
        if isinstance(error, StartupError):
            return error
        if isinstance(error, BaseExceptionGroup) and (found := _startup_error(error)):
            return found
    return None


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
