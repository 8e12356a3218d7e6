"""`python -m services.embedding.preflight`: may this version start here?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.embedding.model_folder import packaged_model
from services.embedding.settings import EmbeddingSettings
from services.rpc.preflight import (
    Check,
    Level,
    address_check,
    folder_check,
    note,
    path_check,
    run_preflight,
    traces_checks,
)
from services.rpc.settings import load_settings


def checks(settings: EmbeddingSettings) -> Iterator[Check]:
    """Yields what this service needs."""
    yield folder_check(settings.data_dir)
    yield from traces_checks(settings)
    yield _model(settings.model)
    if settings.models_file is not None:
        remedy = "correct CAIRN_EMBEDDING_MODELS_FILE"
        yield path_check("models file", settings.models_file, remedy=remedy)
    if valkey := settings.valkey_url.get_secret_value():
        yield address_check("valkey", valkey, effect="replicas do not share vectors")


def _model(source: str) -> Check:
    if packaged_model(source) is not None:
        return note("model", Level.OK, f"{source} comes with a package")
    if source.startswith(("/", ".")) or Path(source).is_dir():
        remedy = "mount the model there, or correct CAIRN_EMBEDDING_MODEL"
        return path_check("model", Path(source) / "config.json", remedy=remedy)
    text = f"{source} comes from the hub, unless its cache has it"
    return note("model", Level.WARNING, text, "give a folder for a start without the network")


if __name__ == "__main__":
    raise SystemExit(run_preflight("embedding", checks(load_settings(EmbeddingSettings))))
