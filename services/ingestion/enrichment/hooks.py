"""Functions of the operator's own, each in a process that is killed when it takes too long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from services.ingestion.document import metadata_from_json
from services.ingestion.enrichment.hook_process import LENGTH
from services.ingestion.validation import check_metadata
from services.rpc.errors import ServiceError

if TYPE_CHECKING:
    from types import TracebackType

    from services.filters.values import Value

MAX_ANSWER_BYTES = 4 << 20
_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*\Z")


class HookFailedError(Exception):
    """A hook failed; the text says how, and holds nothing of the document."""


def parse_hooks(text: str) -> dict[str, str]:
    """Reads `{"name": "package.module:function"}`.

    Raises:
        ValueError: it is something else.
    """
    try:
        plain = json.loads(text or "{}")
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(plain, dict):
        raise ValueError("is not an object")  # noqa: TRY004 - a wrong setting
    for name, entry_point in plain.items():
        if not isinstance(entry_point, str) or not _ENTRY_POINT.match(entry_point):
            raise ValueError(f"{name!r} is not of the form package.module:function")
    return plain


class Hook:
    """One function, called for one document at a time.

    Args:
        entry_point: `package.module:function`.
        seconds: Longest call.
    """

    def __init__(self, entry_point: str, seconds: float) -> None:
        self._entry_point = entry_point
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def call(self, document: Mapping[str, Any]) -> dict[str, Value | None]:
        """Returns the metadata that the function adds.

        Raises:
            HookFailedError: it failed, took too long, or returned something else.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await self._ask(json.dumps(document).encode())
            except TimeoutError:
                await self.close()
                raise HookFailedError(f"took longer than {self._seconds:g} seconds") from None
            except (OSError, EOFError, ValueError) as error:
                await self.close()
                raise HookFailedError("its process died") from error
            except BaseException:
                # An answer that nobody reads must not be taken for the next one.
                await self.close()
                raise
        if "error" in answer:
            raise HookFailedError(str(answer["error"])[:500])
        metadata = metadata_from_json(json.dumps(answer["metadata"]))
        try:
            check_metadata(metadata, "metadata")
        except ServiceError as error:
            raise HookFailedError(
                f"returned metadata that cannot be stored: {error.message}"
            ) from None
        return metadata

    async def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            # Closes the pipes: the transport would complain when it is collected.
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - nothing public does

    async def _ask(self, request: bytes) -> dict[str, Any]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services.ingestion.enrichment.hook_process",
                self._entry_point,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(LENGTH.pack(len(request)) + request)
        await process.stdin.drain()
        prefix = await process.stdout.readexactly(LENGTH.size)
        length = LENGTH.unpack(prefix)[0]
        if length > MAX_ANSWER_BYTES:
            raise ValueError("too long an answer")
        return json.loads(await process.stdout.readexactly(length))


class Hooks:
    """The functions that a service is set up with; closed with the block.

    Args:
        entry_points: `package.module:function` by name.
        seconds: Longest call of each.
    """

    def __init__(self, entry_points: Mapping[str, str], seconds: float = 10.0) -> None:
        self._hooks = {name: Hook(each, seconds) for name, each in entry_points.items()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for hook in self._hooks.values():
            await hook.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The functions by name."""
        return tuple(self._hooks)

    async def call(self, name: str, document: Mapping[str, Any]) -> dict[str, Value | None]:
        """Calls a function (see `Hook.call`).

        Raises:
            HookFailedError: it failed, or the service does not have it any more.
        """
        hook = self._hooks.get(name)
        if hook is None:
            raise HookFailedError("the service is not set up with it any more")
        return await hook.call(document)
