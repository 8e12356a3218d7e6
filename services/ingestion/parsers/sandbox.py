"""Parser processes: started ahead, used again, killed and replaced when they fail or grow.

Short texts that come together make the trip to a process and back together: for each alone, waking
it and being woken by it takes longer than its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from services.ingestion.failures import FailureReason, StageFailedError
from services.ingestion.parsers.options import OUT_OF_MEMORY_STATUS, OcrHook
from services.ingestion.parsers.parsed import ParsedDocument, from_plain
from services.ingestion.sharing import SharedCalls

if TYPE_CHECKING:
    from types import TracebackType

_MAX_HEADER_BYTES = 256 * 1024 * 1024
_MAX_DOCUMENTS = 500
"""Documents after which a process is replaced, whatever its size."""
_INLINE_BYTES = 64 * 1024
_SHORT_BYTES = 16 * 1024
_TOGETHER = 8
_TOGETHER_SECONDS = 10.0
"""Short texts that take longer together, in processor time or in all, are tried one by one."""
_NO_OCR = OcrHook()
_KEEP_BELOW_BYTES = 120 * 1024 * 1024
"""A process whose memory ever passed this is replaced: libraries seldom give memory back."""


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What parsing one document may cost."""

    cpu_seconds: float = 60.0
    wall_seconds: float = 110.0
    memory_bytes: int = 512 * 1024 * 1024
    """Address space of the process."""
    max_characters: int = 10_000_000
    """Characters of text that may come out."""


@dataclass(frozen=True, slots=True)
class _Document:
    """What a process is asked to parse."""

    pieces: Sequence[bytes]
    content_type: str
    size_bytes: int

    @property
    def is_short_text(self) -> bool:
        """Whether it is parsed in no time, as far as anybody can tell."""
        return self.size_bytes <= _SHORT_BYTES and self.content_type.startswith("text/")


_Outcome = ParsedDocument | StageFailedError


class ParserPool:
    """Parses documents in processes of its own.

    Args:
        size: Processes that parse at once.
        limits: What each may cost.
        ocr: Reads pages that are images.
    """

    def __init__(self, size: int, limits: ParserLimits, ocr: OcrHook = _NO_OCR) -> None:
        self._limits = limits
        self._ocr = ocr
        self._turns = asyncio.Semaphore(size)
        self._idle: list[_ParserProcess] = []
        self._busy: set[_ParserProcess] = set()
        self._closed = False
        self._together = SharedCalls[None, _Document, ParsedDocument](
            self._parse_together, most=_TOGETHER, calls_at_once=size
        )

    async def __aenter__(self) -> Self:
        self._idle.append(await _ParserProcess.start(self._limits.memory_bytes))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        # Busy ones, too: who shares a trip leaves it to the others when it is cancelled.
        for process in (*self._idle, *self._busy):
            await process.end()
        self._idle.clear()

    async def parse(
        self, pieces: Sequence[bytes], content_type: str, file_name: str
    ) -> ParsedDocument:
        """Parses one document.

        Args:
            pieces: Its bytes.
            content_type: One of `recognise.SUPPORTED`.
            file_name: Its name, for messages only.

        Raises:
            StageFailedError: it cannot be parsed within the limits.
        """
        document = _Document(pieces, content_type, sum(map(len, pieces)))
        if document.is_short_text:
            return await self._together.ask(None, document)
        (outcome,) = await self._ask([document], self._limits)
        if isinstance(outcome, StageFailedError):
            raise outcome
        return outcome

    async def _parse_together(self, _: None, documents: Sequence[_Document]) -> list[_Outcome]:
        if len(documents) == 1:
            return await self._ask(documents, self._limits)
        limits = dataclasses.replace(
            self._limits,
            cpu_seconds=min(self._limits.cpu_seconds, _TOGETHER_SECONDS),
            wall_seconds=min(self._limits.wall_seconds, _TOGETHER_SECONDS),
        )
        try:
            return await self._ask(documents, limits)
        except StageFailedError:
            # The process did not survive one of them. Which one shows when each goes alone; as many
            # at once as there are processes, so that one that hangs holds up few of the others.
            return await asyncio.gather(*map(self._alone, documents))

    async def _alone(self, document: _Document) -> _Outcome:
        try:
            (outcome,) = await self._ask([document], self._limits)
        except StageFailedError as error:
            return error
        return outcome

    async def _ask(self, documents: Sequence[_Document], limits: ParserLimits) -> list[_Outcome]:
        """Has documents parsed by one process.

        Returns:
            For each, what it says or why it cannot be read.

        Raises:
            StageFailedError: the process died of them, or ran out of time.
        """
        async with self._turns:
            process = await self._take()
            self._busy.add(process)
            try:
                return await process.ask(documents, limits, self._ocr)
            finally:
                self._busy.discard(process)
                if process.is_fresh and not self._closed:
                    self._idle.append(process)
                else:
                    await process.end()

    async def _take(self) -> _ParserProcess:
        if self._closed:
            raise StageFailedError(
                FailureReason.PARSER_CRASHED, "the service is stopping", is_retryable=True
            )
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                return process
            await process.end()
        return await _ParserProcess.start(self._limits.memory_bytes)


class _ParserProcess:
    """One process; serves one trip at a time."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._documents = 0
        self._is_busy = False
        self._peak_rss_bytes = 0

    @classmethod
    async def start(cls, memory_bytes: int) -> Self:
        """Starts a process with nothing of our environment but what Python needs to find us."""
        environment = {
            name: os.environ[name]
            for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LD_LIBRARY_PATH")
            if name in os.environ
        }
        ours, theirs = socket.socketpair()
        with theirs:
            # Not through the event loop, which forks: gRPC's threads do not survive a fork in
            # order. This one spawns (vfork and exec). It must be called in the main thread: the
            # process asks to die with the thread that started it.
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - takes 2 ms; nothing of a caller's
                [
                    sys.executable,
                    "-m",
                    "services.ingestion.parsers.worker",
                    str(memory_bytes),
                ],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                # A Ctrl-C at the terminal is for the service, which ends its parsers itself.
                start_new_session=True,
                env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "1"},
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None and not self._writer.is_closing()

    @property
    def is_fresh(self) -> bool:
        """Whether it may serve another document: it answered the last, and is not worn out."""
        return (
            not self._is_busy
            and self._documents < _MAX_DOCUMENTS
            and self._peak_rss_bytes < _KEEP_BELOW_BYTES
        )

    async def ask(
        self, documents: Sequence[_Document], limits: ParserLimits, ocr: OcrHook
    ) -> list[_Outcome]:
        """Sends documents and returns what came out of each."""
        self._documents += len(documents)
        self._is_busy = True
        try:
            async with asyncio.timeout(limits.wall_seconds):
                try:
                    return await self._converse(documents, limits, ocr)
                except (asyncio.IncompleteReadError, OSError, RuntimeError):
                    # uvloop answers a write to a closed stream with a RuntimeError.
                    code = await asyncio.to_thread(self._process.wait)
                    raise _crash(code) from None
        except TimeoutError:
            raise StageFailedError(
                FailureReason.PARSE_TIMEOUT,
                f"parsing took longer than {limits.wall_seconds:g} s",
            ) from None

    async def _converse(
        self, documents: Sequence[_Document], limits: ParserLimits, ocr: OcrHook
    ) -> list[_Outcome]:
        header = {
            "documents": [(each.content_type, each.size_bytes) for each in documents],
            "cpu_seconds": limits.cpu_seconds,
            "max_characters": limits.max_characters,
            "ocr_command": ocr.command,
            "ocr_entry_point": ocr.entry_point,
        }
        encoded = json.dumps(header).encode()
        head = struct.pack(">I", len(encoded)) + encoded
        pieces = [piece for each in documents for piece in each.pieces]
        if sum(each.size_bytes for each in documents) < 2 * _INLINE_BYTES:
            # In one write: each wakes the process.
            self._writer.write(b"".join((head, *pieces)))
        else:
            self._writer.write(head)
            for piece in pieces:
                self._writer.write(piece)
                await self._writer.drain()
        answer, text = await self._receive(len(documents), limits)
        self._peak_rss_bytes = answer["peak_rss_bytes"]
        self._is_busy = False
        if len(text) < 2 * _INLINE_BYTES:
            # A thread takes longer than the work.
            return _outcomes(answer["documents"], text)
        return await asyncio.to_thread(_outcomes, answer["documents"], text)

    async def _receive(self, count: int, limits: ParserLimits) -> tuple[dict[str, Any], bytes]:
        (size,) = struct.unpack(">I", await self._reader.readexactly(4))
        if size > _MAX_HEADER_BYTES:
            raise _failure("TOO_LARGE", "the parser's answer is over its limit")
        answer = json.loads(await self._reader.readexactly(size))
        sizes = [each.get("text_bytes", 0) for each in answer["documents"]]
        if len(sizes) != count or max(sizes) > limits.max_characters * 4:
            raise _failure("TOO_LARGE", "the parser's answer is over its limit")
        return answer, await self._reader.readexactly(sum(sizes))

    async def end(self) -> None:
        """Kills the process and waits until it is gone."""
        self._kill()
        self._writer.close()
        await asyncio.to_thread(self._process.wait)

    def _kill(self) -> None:
        """Kills the process with what its OCR hook started: they are a group of their own."""
        if self._process.returncode is None:
            # Not waited for yet: its number is still its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _outcomes(answers: Sequence[dict[str, Any]], text: bytes) -> list[_Outcome]:
    """Reads what a process says of documents; their texts stand one after the other."""
    outcomes: list[_Outcome] = []
    start = 0
    for answer in answers:
        if "reason" in answer:
            outcomes.append(_failure(answer["reason"], answer["message"]))
            continue
        end = start + answer["text_bytes"]
        outcomes.append(from_plain(text[start:end].decode(), answer["parsed"]))
        start = end
    return outcomes


def _failure(reason: str, message: str) -> StageFailedError:
    return StageFailedError(FailureReason(reason), message)


def _crash(code: int) -> StageFailedError:
    if code == -signal.SIGXCPU:
        return StageFailedError(
            FailureReason.PARSE_TIMEOUT, "parsing took more processor time than it may"
        )
    if code == OUT_OF_MEMORY_STATUS:
        return StageFailedError(
            FailureReason.PARSE_OUT_OF_MEMORY,
            "the document needs more memory to parse than it may have",
        )
    # Killed from outside, for want of memory on the machine: the document may be innocent.
    is_killed = code == -signal.SIGKILL
    return StageFailedError(
        FailureReason.PARSER_CRASHED,
        "the parser's process died over this file"
        + (" (killed)" if is_killed else "; the file is damaged or hostile"),
        is_retryable=is_killed,
    )
