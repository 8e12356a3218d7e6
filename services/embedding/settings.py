"""Settings of the embedding service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from services.rpc.settings import Port, ServiceSettings, settings_config

_MIB = 1024 * 1024


class EmbeddingSettings(ServiceSettings):
    """Read from CAIRN_EMBEDDING_*."""

    model_config = settings_config("CAIRN_EMBEDDING_")

    port: Port = 9101
    """Port of the gRPC server; 0 takes a free one."""
    metrics_port: Port = 9201
    """Port of the Prometheus endpoint `/metrics`; 0 takes a free one."""
    model: str = "all-MiniLM-L6-v2"
    """The default model: a packaged model's name, a local folder, or a hub id."""
    model_name: str = ""
    """Name to ask for the default model by; empty takes `model`, or the last part of its path."""
    device: str = "cpu"
    """Where models run: "cpu", "cuda" or "cuda:1"."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of models. "auto" is bfloat16 where the hardware multiplies it (twice as fast,
    cosine to float32 at least .9995), else float32. "float16" needs an accelerator."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Threads of the model and the tokenizer; 0 takes the cores this process may use. On a CPU up
    to four passes run side by side, which share them."""
    batch_tokens: Annotated[int, Field(ge=0, le=1_048_576)] = 0
    """Most tokens in a forward pass; 0 takes 1024 on a CPU (more gains nothing and makes queries
    wait) and 16384 on an accelerator."""
    max_interactive_tokens: Annotated[int, Field(ge=1)] = 49_152
    """Tokens of interactive requests that may wait; more are refused with a time to come back. One
    tenant alone may have two thirds of them waiting."""
    max_bulk_tokens: Annotated[int, Field(ge=1)] = 393_216
    """Tokens of bulk requests that may wait; more are refused with a time to come back. One tenant
    alone may have two thirds of them waiting."""
    bulk_ageing_seconds: Annotated[float, Field(ge=0)] = 2.0
    """Wait after which bulk work gets every other batch, so that it never starves."""
    lanes: bool = True
    """Whether interactive work goes before bulk work; off shows what the lanes are worth."""
    cache_bytes: Annotated[int, Field(ge=0)] = 64 * _MIB
    """Memory for vectors of texts seen before (about 2 kB each at 384 dimensions); 0 for none."""
    valkey_url: SecretStr = SecretStr("")
    """Valkey or Redis in which replicas share vectors of texts seen before, such as
    "redis://host:6379/0"; empty for none. Dead or frozen, it costs one request 50 ms."""
    shared_cache_seconds: Annotated[int, Field(ge=1)] = 604_800
    """How long a vector stays in the shared cache."""
    models_file: Path | None = None
    """JSON file with further models to load at the start, those of remote endpoints among them;
    docs/operations.md shows its form. A default model in it replaces `model`."""
    max_texts: Annotated[int, Field(ge=1, le=65_536)] = 2048
    """Texts in one request."""
    max_text_characters: Annotated[int, Field(ge=1, le=16_000_000)] = 1_000_000
    """Characters in one text."""
    max_models: Annotated[int, Field(ge=1, le=64)] = 4
    """Models loaded at once; each holds its weights in memory."""
