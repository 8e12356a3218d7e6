"""`python -m services.generation.preflight`: may this version start here?"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from services.generation.settings import GenerationSettings
from services.rpc.preflight import (
    Check,
    Level,
    address_check,
    folder_check,
    note,
    path_check,
    run_preflight,
    target_check,
    traces_checks,
)
from services.rpc.settings import load_settings


def checks(settings: GenerationSettings) -> Iterator[Check]:
    """Yields what this service needs."""
    yield folder_check(settings.data_dir)
    yield from traces_checks(settings)
    names = {name for each in ("default", "cheap", "strong") for name in settings.order(each)}
    if "vllm" in names:
        if importlib.util.find_spec("vllm") is None:
            text = "the engine vllm is asked for and the library is not installed"
            yield note("vllm", Level.FAILURE, text, "run the image with vLLM, or drop the engine")
        if settings.vllm_model.startswith(("/", ".")):
            remedy = "mount the model there, or correct CAIRN_GENERATION_VLLM_MODEL"
            yield path_check("model", Path(settings.vllm_model) / "config.json", remedy=remedy)
        if not settings.cache_salt_secret.get_secret_value():
            text = "a random salt for each process: replicas cannot share prefix statistics"
            yield note("cache salt", Level.OK, text)
    if "openai" in names:
        yield address_check(
            "openai", settings.openai_base_url, effect="the chain goes to its next engine"
        )
    if "extractive" in names and settings.embedding_target != "none":
        yield target_check("embedding", settings.embedding_target)


if __name__ == "__main__":
    raise SystemExit(run_preflight("generation", checks(load_settings(GenerationSettings))))
