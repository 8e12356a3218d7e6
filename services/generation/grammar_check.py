"""Whether an engine can follow a form, found out where it costs nobody else anything.

A schema of a line (`minItems` of a hundred million, `multipleOf` a large prime) or an expression
(`a{100000}`) keeps a compiler busy for minutes, in the engine as in its front, and everybody waits.
So each form is compiled first in a process of its own, with little time; what is found is kept.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from services.generation.engine import OutputForm, StructuredOutput
from services.rpc.errors import (
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from services.rpc.logs import get_logger

_PROCESSOR_SECONDS = 0.3
"""What compiling may take: vLLM does it twice more, and its front stands still meanwhile."""
_ANSWER_SECONDS = 10.0
"""The same by the clock, on a machine that is busy with others."""
_START_SECONDS = 60.0
_END_SECONDS = 0.5
"""For who is at rest to end by itself; who is not is killed."""
_REMEMBERED = 4096
_WAITING = 64
"""Forms that nobody knows and that wait for each other; more are refused."""
_MAX_WHY_CHARACTERS = 300
_TOO_MUCH = "takes too long to compile; make it smaller"


class GrammarCheck:
    """See the module's text. Of one event loop.

    Args:
        tokenizer: The model's, in the form of the library `tokenizers`.
        vocabulary: Tokens it has.
        end: Number of the token that ends a text.
        command: Starts what compiles; replaced in tests.
    """

    def __init__(
        self,
        tokenizer: str,
        vocabulary: int,
        end: int,
        *,
        command: Sequence[str] = (sys.executable, "-m", "services.generation.grammar_worker"),
    ) -> None:
        self._told = {
            "tokenizer": tokenizer,
            "vocabulary": vocabulary,
            "end": end,
            "seconds": _PROCESSOR_SECONDS,
        }
        self._command = command
        self._known: OrderedDict[bytes, str] = OrderedDict()
        """What is wrong with the forms seen lately; empty texts for nothing."""
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._worker: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts what compiles, before anybody waits; without it only forms are refused."""
        async with self._turn:
            try:
                await self._running()
            except UnavailableError as error:
                get_logger().error("forms cannot be compiled", reason=error.message)

    async def check(self, output: StructuredOutput | None) -> None:
        """Returns when the form can be followed.

        Raises:
            InvalidArgumentError: It cannot, or it takes too long to compile.
            ResourceExhaustedError: Too many new forms wait.
        """
        if output is None or output.form is OutputForm.CHOICES:
            return  # choices are bounded, and simple
        key = hashlib.sha256(f"{output.form.value}\0{output.text}".encode()).digest()
        problem = self._known.get(key)
        if problem is None:
            problem = await self._found(key, output)
        self._known[key] = problem
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if problem:
            reason = Reason.TOO_LARGE if problem == _TOO_MUCH else Reason.INVALID_FIELD
            raise InvalidArgumentError.for_field(
                f"structured_output.{output.form.value}", problem, reason
            )

    async def _found(self, key: bytes, output: StructuredOutput) -> str:
        if self._waiting >= _WAITING:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                "too many new forms wait to be compiled; try again later",
                retry_after_seconds=1.0,
            )
        self._waiting += 1
        try:
            # A caller that leaves must not leave its answer to the next one.
            return await asyncio.shield(asyncio.ensure_future(self._ask(key, output)))
        finally:
            self._waiting -= 1

    async def _ask(self, key: bytes, output: StructuredOutput) -> str:
        async with self._turn:
            if (known := self._known.get(key)) is not None:
                return known
            worker = await self._running()
            line = {"form": output.form.value, "text": output.text}
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    problem = await _answer(worker, line)
            except (TimeoutError, ConnectionError, EOFError):
                await self._end()
                return _TOO_MUCH
            return _in_a_line(problem)[:_MAX_WHY_CHARACTERS]

    async def _running(self) -> asyncio.subprocess.Process:
        if self._worker is None or self._worker.returncode is not None:
            self._worker = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await _answer(self._worker, self._told)
            except (TimeoutError, ConnectionError, EOFError) as error:
                await self._end()
                raise UnavailableError(
                    Reason.NOT_READY,
                    "what compiles forms does not start",
                    retry_after_seconds=5.0,
                ) from error
        return self._worker

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        assert worker.stdin is not None
        worker.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await worker.wait()
        except TimeoutError:
            worker.kill()
            await worker.wait()

    async def close(self) -> None:
        """Ends what compiles."""
        await self._end()


def grammar_check(llm: Any) -> GrammarCheck | None:
    """Returns what checks forms for an engine; None where another library compiles them.

    Args:
        llm: vLLM's `AsyncLLM`.
    """
    tokenizer = getattr(llm.get_tokenizer(), "backend_tokenizer", None)
    if tokenizer is None or llm.vllm_config.structured_outputs_config.backend != "guidance":
        return None
    tokenizer = copy.copy(tokenizer)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return GrammarCheck(
        tokenizer.to_str(), llm.model_config.get_vocab_size(), llm.get_tokenizer().eos_token_id
    )


def _in_a_line(problem: str) -> str:
    """Returns what a compiler says of a form, without what it draws."""
    lines = [each.strip() for each in problem.splitlines() if each.strip()]
    if not lines:
        return ""
    if lines[0].endswith(":"):  # what is wrong is said below a picture of where
        return f"{lines[0]} {lines[-1]}"
    if " " not in lines[0]:  # the name of an error, such as "NoExtensionBias" of {"$ref": "#"}
        return f"nothing can be written under it ({lines[0]})"
    return lines[0]


async def _answer(worker: asyncio.subprocess.Process, line: object) -> str:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(line).encode() + b"\n")
    await worker.stdin.drain()
    said = await worker.stdout.readline()
    if not said:
        raise EOFError
    return json.loads(said)
