"""Settings of the generation service, read once from CAIRN_GENERATION_… variables."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator

from services.generation.endpoints import Endpoint, read_endpoints, read_prices
from services.rpc.settings import Port, ServiceSettings, settings_config

ENGINE_NAMES = ("vllm", "openai", "extractive")


class GenerationSettings(ServiceSettings):
    """What the generation service can be told."""

    model_config = settings_config("CAIRN_GENERATION_")

    port: Port = 9103
    """Port of the gRPC server; 0 takes a free one."""
    metrics_port: Port = 9203
    """Port of the Prometheus endpoint `/metrics`; 0 takes a free one."""
    engines: str = "extractive"
    """Engines in the order they are tried, separated by commas: vllm, openai, extractive, and the
    names of `openai_endpoints`."""
    engines_cheap: str = ""
    """Order for requests of class CHEAP; empty: as `engines`."""
    engines_strong: str = ""
    """Order for requests of class STRONG; empty: as `engines`."""
    embedding_target: str = "127.0.0.1:9101"
    """Embedding service that scores spans for the extractive engine; "none": word overlap only."""
    min_support: Annotated[float, Field(ge=0, le=1)] = 0.44
    """Least support of an extractive answer; below it the engine refuses. Higher refuses more."""
    min_overlap: Annotated[float, Field(ge=0, le=1)] = 0.33
    """The same for word overlap, when the embedding service cannot be reached."""
    first_text_seconds: Annotated[float, Field(gt=0, le=600)] = 20.0
    """Time an engine has for its first text before the next one is tried."""
    slow_first_text_seconds: Annotated[float, Field(gt=0, le=600)] = 4.0
    """A first text that takes longer counts against an engine that has another one behind it."""
    route_by_question: bool = True
    """Whether questions whose callers state no class are sorted by rule: for one fact CHEAP, to
    compare, explain or answer much STRONG, the rest DEFAULT. Needs `engines_cheap` or
    `engines_strong`."""
    max_waiting: Annotated[int, Field(ge=1, le=100_000)] = 2048
    """Requests in work and waiting at once; more are refused with a time to come back."""
    vllm_model: str = ""
    """Folder or hub id of the model the vllm engine serves."""
    vllm_model_name: str = ""
    """Name callers ask for it by; empty: the folder's or id's last part."""
    vllm_engine_args: str = "{}"
    """JSON object of AsyncEngineArgs: {"max_model_len": 8192, "tensor_parallel_size": 2}."""
    vllm_max_waiting: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Requests that wait for the vllm engine; one tenant may hold four fifths of the room."""
    vllm_max_waiting_tokens: Annotated[int, Field(ge=1)] = 1_000_000
    """Prompt tokens that wait for it; about what it reads in the longest wait worth having."""
    vllm_window_seconds: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Tokens after a stream's first leave once in this time, for all streams; 0: each by itself."""
    vllm_niceness: Annotated[int, Field(ge=0, le=19)] = 5
    """By how much this process goes behind the engine's own where cores are few, as `nice` counts:
    the engine's next step waits for nobody. 0: all are alike."""
    vllm_template_documents: bool = False
    """Gives passages to the model's chat template as `documents`, for models trained for that."""
    cache_salt_secret: SecretStr = SecretStr("")
    """Secret that keeps tenants' prefix caches apart; empty: a random one for each process."""
    openai_base_url: str = ""
    """OpenAI-compatible endpoint, such as http://host:8000/v1."""
    openai_api_key: SecretStr = SecretStr("")
    """Bearer token of that endpoint."""
    openai_model: str = ""
    """Model to ask that endpoint for."""
    openai_max_context_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens of prompt and answer together that model reads; 0: the endpoint decides."""
    openai_prices: str = ""
    """JSON object of the prices of a million tokens; empty: not known. Such as
    {"prompt": 2.5, "cached_prompt": 1.25, "completion": 10, "currency": "USD"}."""
    openai_endpoints: SecretStr = SecretStr("")
    """Further endpoints, each an engine by its name: {"mini": {"base_url": "https://host/v1",
    "model": "…", "api_key": "…", "max_context_tokens": 0, "prices": {…}}}."""

    @field_validator("engines")
    @classmethod
    def _some_engine(cls, value: str) -> str:
        if not _names(value):
            raise ValueError("must name at least one engine")
        return value

    @field_validator("vllm_engine_args")
    @classmethod
    def _json_object(cls, value: str) -> str:
        try:
            is_object = isinstance(json.loads(value), dict)
        except json.JSONDecodeError:
            is_object = False
        if not is_object:
            raise ValueError("must be a JSON object")
        return value

    @field_validator("openai_prices")
    @classmethod
    def _prices(cls, value: str) -> str:
        read_prices(value)
        return value

    @field_validator("openai_endpoints")
    @classmethod
    def _endpoints(cls, value: SecretStr) -> SecretStr:
        read_endpoints(value.get_secret_value() or "{}", ENGINE_NAMES)
        return value

    @model_validator(mode="after")
    def _engines_are_configured(self) -> GenerationSettings:
        known = (*ENGINE_NAMES, *self.endpoints())
        orders = {each: self.order(each) for each in ("default", "cheap", "strong")}
        names = {name for order in orders.values() for name in order}
        if not names.issubset(known) or any(len(set(o)) != len(o) for o in orders.values()):
            raise ValueError(
                "CAIRN_GENERATION_ENGINES, _ENGINES_CHEAP and _ENGINES_STRONG must be distinct "
                f"names out of {', '.join(known)}, separated by commas"
            )
        if "vllm" in names and not self.vllm_model:
            raise ValueError("the vllm engine needs CAIRN_GENERATION_VLLM_MODEL")
        if "openai" in names and not (self.openai_base_url and self.openai_model):
            raise ValueError(
                "the openai engine needs CAIRN_GENERATION_OPENAI_BASE_URL and _OPENAI_MODEL"
            )
        return self

    def endpoints(self) -> dict[str, Endpoint]:
        """Returns the further endpoints by engine name."""
        return read_endpoints(self.openai_endpoints.get_secret_value() or "{}", ENGINE_NAMES)

    def order(self, request_class: str) -> list[str]:
        """Returns the engines of a class ("default", "cheap", "strong"), the first choice first."""
        own = {"cheap": self.engines_cheap, "strong": self.engines_strong}.get(request_class, "")
        return _names(own) or _names(self.engines)


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]
