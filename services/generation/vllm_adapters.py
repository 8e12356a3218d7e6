"""LoRA adapters of the vLLM engine, by name."""

from __future__ import annotations

import asyncio
from typing import Any

from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnimplementedError,
)

MAX_ADAPTERS = 256


class Adapters:
    """The adapters that are loaded.

    Args:
        llm: The engine.
        is_enabled: Whether it was started with `enable_lora`.
    """

    def __init__(self, llm: Any, *, is_enabled: bool) -> None:
        self._llm = llm
        self._is_enabled = is_enabled
        self._loaded: dict[str, Any] = {}
        self._lock = asyncio.Lock()
        self._next_id = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what is loaded, sorted."""
        return tuple(sorted(self._loaded))

    def find(self, name: str) -> Any:
        """Returns what a request with this adapter gives to vLLM; None for no adapter.

        Raises:
            NotFoundError: No such adapter is loaded.
        """
        if not name:
            return None
        found = self._loaded.get(name)
        if found is None:
            raise NotFoundError(
                Reason.MODEL_NOT_FOUND,
                "adapter: no such adapter is loaded; loaded are: "
                f"{', '.join(self.names) or 'none'}",
            )
        return found

    async def load(self, name: str, source: str) -> None:
        """Loads an adapter; the same name and source again is a success.

        Raises:
            ServiceError: Adapters are off, the name is taken, or vLLM cannot load the source.
        """
        from services.generation import vllm_values  # noqa: PLC0415 - imports vLLM

        if not self._is_enabled:
            raise UnimplementedError(
                Reason.NOT_SUPPORTED,
                "adapters are off; start with "
                'CAIRN_GENERATION_VLLM_ENGINE_ARGS={"enable_lora": true}',
            )
        async with self._lock:
            if self._is_loaded(name, source):
                return
            request = vllm_values.lora_request(name, self._next_id, source)
            self._next_id += 1
            try:
                is_added = await self._llm.add_lora(request)
            except Exception as error:
                raise vllm_values.adapter_error(error) from error
            if not is_added:
                raise InvalidArgumentError.for_field("source", "vLLM does not load this adapter")
            self._loaded[name] = request

    def _is_loaded(self, name: str, source: str) -> bool:
        loaded = self._loaded.get(name)
        if loaded is None:
            if len(self._loaded) >= MAX_ADAPTERS:
                raise _too_many()
            return False
        if loaded.lora_path != source:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT, "an adapter of that name is loaded from another source"
            )
        return True

    async def unload(self, name: str) -> None:
        """Unloads an adapter; requests that run with it end with it.

        Raises:
            NotFoundError: No adapter of that name is loaded.
        """
        async with self._lock:
            request = self._loaded.pop(name, None)
            if request is None:
                raise NotFoundError(Reason.MODEL_NOT_FOUND, "no adapter of that name is loaded")
            await self._llm.remove_lora(request.lora_int_id)


def _too_many() -> ServiceError:
    return ResourceExhaustedError(
        Reason.TOO_LARGE,
        f"{MAX_ADAPTERS} adapters are loaded; unload one first",
        metadata={"limit": str(MAX_ADAPTERS)},
    )
