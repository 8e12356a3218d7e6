"""Values of ours to values of vLLM's and back, errors included.

Imports vLLM at its head: the engine imports this module when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm.exceptions import (  # pyright: ignore[reportMissingImports]
    GracefulHTTPError,
    VLLMClientError,
)
from vllm.inputs import tokens_input  # pyright: ignore[reportMissingImports]
from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]
from vllm.outputs import (  # pyright: ignore[reportMissingImports]
    CompletionOutput,
    RequestOutput,
)
from vllm.sampling_params import (  # pyright: ignore[reportMissingImports]
    RequestOutputKind,
    SamplingParams,
    StructuredOutputsParams,
)
from vllm.v1.engine.exceptions import (  # pyright: ignore[reportMissingImports]
    EngineDeadError,
)

from services.generation.engine import (
    FinishReason,
    GenerationRequest,
    OutputForm,
    TokenLogprob,
)
from services.generation.engine_spans import EngineTimes
from services.generation.prompt import REFUSAL
from services.rpc.errors import (
    InternalError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

_WHOLE = 1 << 30
"""Tokens between two outputs where vLLM shall tell the first token, then the end."""


def sampling_params(
    request: GenerationRequest,
    max_tokens: int,
    defaults: Mapping[str, Any],
    *,
    tells_each_token: bool = False,
) -> SamplingParams:
    """Returns vLLM's sampling parameters.

    Args:
        request: What is asked for.
        max_tokens: Tokens the answer may have.
        defaults: The model's own parameters.
        tells_each_token: Whether vLLM tells each token of a stream by itself.

    Raises:
        InvalidArgumentError: vLLM refuses a value.
    """
    sampling = request.sampling
    wanted = {
        "max_tokens": max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "stop": list(sampling.stop) or None,
        "logprobs": sampling.logprobs or None,
        "stream_interval": None if request.stream and tells_each_token else _WHOLE,
    }
    is_final_only = not request.stream and not request.may_fail_over
    try:
        return SamplingParams(
            **{
                **defaults,
                **{key: value for key, value in wanted.items() if value is not None},
            },
            output_kind=(
                RequestOutputKind.FINAL_ONLY if is_final_only else RequestOutputKind.DELTA
            ),
            skip_clone=True,
            structured_outputs=_structured(request),
        )
    except (ValueError, VLLMClientError) as error:
        raise InvalidArgumentError.for_field("sampling", _first_line(error)) from error


def rendered(token_ids: list[int], cache_salt: str) -> Any:
    """Returns a prompt as vLLM takes it without further work."""
    return tokens_input(token_ids, cache_salt=cache_salt)


def lora_request(name: str, number: int, source: str) -> LoRARequest:
    """Returns vLLM's name for an adapter."""
    return LoRARequest(name, number, source)


def token_logprobs(piece: CompletionOutput) -> tuple[TokenLogprob, ...]:
    """Returns the log-probabilities of a piece, when they were asked for."""
    if not piece.logprobs:
        return ()
    found: list[TokenLogprob] = []
    for token_id, alternatives in zip(piece.token_ids, piece.logprobs, strict=False):
        ranked = tuple(
            TokenLogprob(each.decoded_token or "", each.logprob)
            for each in sorted(alternatives.values(), key=lambda each: -each.logprob)
        )
        chosen = alternatives[token_id]
        found.append(TokenLogprob(chosen.decoded_token or "", chosen.logprob, ranked))
    return tuple(found)


def _structured(request: GenerationRequest) -> StructuredOutputsParams | None:
    output = request.structured_output
    if output is None:
        return None
    if output.form is OutputForm.CHOICES:
        return StructuredOutputsParams(choice=list(output.choices))
    field = {"json_schema": "json"}.get(output.form.value, output.form.value)
    return StructuredOutputsParams(**{field: output.text}, disable_any_whitespace=True)


def finish_reason(reason: str | None, text: str) -> FinishReason:
    """Returns why a text ended.

    Raises:
        ServiceError: It ended by no fault of the request's.
    """
    if reason == "length":
        return FinishReason.LENGTH
    if reason == "abort":
        raise UnavailableError(Reason.NOT_READY, "the engine ended the request")
    if reason == "error":
        raise InternalError(Reason.INTERNAL, "the engine failed on the request")
    return FinishReason.REFUSED if text.strip().startswith(REFUSAL) else FinishReason.STOP


def engine_times(output: RequestOutput) -> EngineTimes:
    """Returns when the engine did what; it and its front share the host's monotonic clock."""
    stats = output.metrics
    if stats is None:
        return EngineTimes()
    return EngineTimes(
        stats.queued_ts, stats.scheduled_ts, stats.first_token_ts, stats.last_token_ts
    )


def service_error(error: Exception, request: GenerationRequest) -> ServiceError:
    """Returns our error for one of vLLM's."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, EngineDeadError):
        return UnavailableError(Reason.NOT_READY, "the engine has died", retry_after_seconds=5.0)
    if isinstance(error, GracefulHTTPError):
        return ResourceExhaustedError(
            Reason.OVERLOADED, "the engine's queue is full", retry_after_seconds=1.0
        )
    if isinstance(error, VLLMClientError):
        text = _first_line(error)
        if "maximum model length" in text:
            return InvalidArgumentError(Reason.CONTEXT_TOO_LONG, text)
        form = request.structured_output
        field = "sampling" if form is None else f"structured_output.{form.form.value}"
        return InvalidArgumentError.for_field(field, text)
    return InternalError(Reason.INTERNAL, "the engine failed on the request")


def adapter_error(error: Exception) -> ServiceError:
    """Returns the error of an adapter that cannot be loaded."""
    if isinstance(error, EngineDeadError):
        return UnavailableError(Reason.NOT_READY, "the engine has died", retry_after_seconds=5.0)
    return InvalidArgumentError.for_field(
        "source",
        "vLLM cannot load this adapter: give a folder with adapter_config.json and weights that "
        "match the model, of a rank up to max_lora_rank",
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
