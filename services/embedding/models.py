"""The loaded models: several side by side, loaded and unloaded while others serve."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.embedding.encoder import AnyEncoder
from services.embedding.intake import Runner
from services.embedding.metrics import MODELS
from services.embedding.model_folder import packaged_model
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    UnavailableError,
)

MAX_NAME_CHARACTERS = 128
MAX_SOURCE_CHARACTERS = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*_*/*.json", "*_*/*.safetensors"]


class Engines(Protocol):
    """What makes encoders of models, and runs them."""

    def open(self, folder: Path, engine: str) -> AnyEncoder:
        """Makes the encoder of a folder. Blocks; called in a thread, once at a time.

        Args:
            folder: Of the model.
            engine: What is to run it; empty: what suits it best.

        Raises:
            InvalidArgumentError: No such engine, or the folder is no complete model.
            FailedPreconditionError: The engine does not run such a model, or is not installed.
        """
        ...

    def run(self, encoder: AnyEncoder) -> Runner:
        """Returns what runs an encoder, ready."""
        ...

    async def stop(self, runner: Runner) -> None:
        """Ends a runner that serves one model alone."""
        ...


@dataclass(slots=True, eq=False)
class LoadedModel:
    """A model under its name."""

    name: str
    encoder: AnyEncoder
    runner: Runner
    """Runs it."""
    leases: int = 0
    """Requests that use it now."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nobody uses it."""


class Models:
    """The registry of loaded models. Belongs to one loop.

    Args:
        engines: Make encoders, and run them.
        max_models: How many may be loaded at once: each holds its weights in memory.
    """

    def __init__(self, engines: Engines, *, max_models: int) -> None:
        self._engines = engines
        self._max_models = max_models
        self._models: dict[str, LoadedModel] = {}
        self._default = ""
        self._loading = asyncio.Lock()

    @property
    def default_name(self) -> str:
        """Name of the model used where a request names none; empty before the first one."""
        return self._default

    def list(self) -> list[LoadedModel]:
        """Returns the models, the default one first."""
        return sorted(self._models.values(), key=lambda model: model.name != self._default)

    def add(self, name: str, encoder: AnyEncoder, *, make_default: bool = False) -> LoadedModel:
        """Registers an encoder; the first one that embeds becomes the default.

        Raises:
            FailedPreconditionError: A cross-encoder is to be the default.
        """
        if make_default and encoder.info.is_cross_encoder:
            raise FailedPreconditionError(
                Reason.NOT_SUPPORTED, f"{name} is a cross-encoder: it cannot be the default model"
            )
        model = LoadedModel(name, encoder, self._engines.run(encoder))
        model.idle.set()
        self._models[name] = model
        if make_default or (not self._default and not encoder.info.is_cross_encoder):
            self._default = name
        MODELS.set(len(self._models))
        return model

    def get(self, name: str) -> LoadedModel:
        """Returns a model; an empty name means the default one.

        Raises:
            NotFoundError: No loaded model of that name.
            UnavailableError: No model is loaded yet.
        """
        if not self._models:
            raise UnavailableError(
                Reason.NOT_READY, "the default model is still loading", retry_after_seconds=1
            )
        model = self._models.get(name or self._default)
        if model is None:
            raise NotFoundError(
                Reason.MODEL_NOT_FOUND,
                f"no loaded model is called {name[:MAX_NAME_CHARACTERS]!r}; "
                f"loaded are {', '.join(sorted(self._models))}",
            )
        return model

    def first_cross_encoder(self) -> str:
        """Returns the name of the cross-encoder used where none is named; empty: none is loaded."""
        return next(
            (name for name, each in self._models.items() if each.encoder.info.is_cross_encoder), ""
        )

    def required_cross_encoder(self) -> str:
        """Returns the name of the cross-encoder used where none is named.

        Raises:
            NotFoundError: None is loaded.
        """
        name = self.first_cross_encoder()
        if not name:
            raise NotFoundError(
                Reason.MODEL_NOT_FOUND,
                "no cross-encoder is loaded: load one, or use LATE_INTERACTION, which needs none",
            )
        return name

    @contextlib.contextmanager
    def lease(self, name: str) -> Iterator[LoadedModel]:
        """Keeps a model loaded during the block. Raises as `get` does."""
        model = self.get(name)
        model.leases += 1
        model.idle.clear()
        try:
            yield model
        finally:
            model.leases -= 1
            if model.leases == 0:
                model.idle.set()

    async def load(
        self, name: str, source: str, engine: str = "", *, make_default: bool = False
    ) -> LoadedModel:
        """Loads a model beside the others.

        Args:
            name: To ask for it by; letters, digits, ".", "_", "/" and "-".
            source: A local folder, the name of a packaged model, or a hub id.
            engine: What runs it; empty: what suits it best.
            make_default: Whether requests that name none use it from now on.

        Raises:
            InvalidArgumentError: The name or the source is malformed, or no model is there.
            FailedPreconditionError: The name is taken, too many are loaded, or the engine does
                not run such a model.
            NotFoundError: The hub has no such model.
            UnavailableError: The hub cannot be reached.
        """
        async with self._loading:
            self._check_new(name)
            encoder = await self._open_aside(source, engine)
            try:
                return self.add(name, encoder, make_default=make_default)
            except FailedPreconditionError:
                encoder.close()
                raise

    def add_new(self, name: str, encoder: AnyEncoder, *, make_default: bool) -> LoadedModel:
        """Adds an encoder made elsewhere beside the others. Raises as `load` does."""
        self._check_new(name)
        return self.add(name, encoder, make_default=make_default)

    def _check_new(self, name: str) -> None:
        _check_name(name)
        if name in self._models:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT,
                f"a model called {name} is loaded already: unload it first",
            )
        if len(self._models) >= self._max_models:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT,
                f"{len(self._models)} models are loaded, the most allowed: unload one first",
            )

    async def unload(self, name: str) -> None:
        """Takes a model from new requests at once, and from memory when the running ones end.

        Raises:
            NotFoundError: No loaded model of that name.
            FailedPreconditionError: It is the default model.
        """
        _check_name(name)
        model = self.get(name)
        if model.name == self._default:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT,
                f"{name} is the default model: make another one the default first",
            )
        del self._models[model.name]
        MODELS.set(len(self._models))
        try:
            await model.idle.wait()
        except asyncio.CancelledError:
            if model.leases:
                self._models.setdefault(model.name, model)  # it stays, and can be unloaded again
                MODELS.set(len(self._models))
            raise
        await self._close(model)

    async def close(self) -> None:
        """Frees all models; nothing runs any more."""
        for model in self._models.values():
            await self._close(model)
        self._models.clear()

    async def _close(self, model: LoadedModel) -> None:
        await self._engines.stop(model.runner)
        model.encoder.close()

    async def _open_aside(self, source: str, engine: str) -> AnyEncoder:
        """Opens a model in a thread that ends with it.

        Packing weights gives a thread workers of its own, for as long as it lives. OpenMP counts
        them: when there are more than cores, the workers of the thread that runs the models sleep
        at each product's end and are woken at the next, which costs a third of its speed.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix="load")
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, self._open, source, engine)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _open(self, source: str, engine: str) -> AnyEncoder:
        return self._engines.open(resolve_source(source), engine)


@contextlib.asynccontextmanager
async def open_models(engines: Engines, *, max_models: int) -> AsyncIterator[Models]:
    """Opens an empty registry and frees its models at the end."""
    models = Models(engines, max_models=max_models)
    try:
        yield models
    finally:
        await models.close()


def resolve_source(source: str) -> Path:
    """Returns the folder of a model: a path, a packaged model, or a download from the hub. Blocks.

    Raises:
        InvalidArgumentError: It is none of them.
        NotFoundError: The hub has no such model.
        UnavailableError: The hub cannot be asked.
    """
    if not source or len(source) > MAX_SOURCE_CHARACTERS or not source.isprintable():
        raise InvalidArgumentError.for_field(
            "source", f"must be a folder or a hub id, up to {MAX_SOURCE_CHARACTERS} characters"
        )
    packaged = packaged_model(source)
    if packaged is not None:
        return packaged
    try:
        if Path(source).is_dir():
            return Path(source)
    except OSError:  # a name the file system does not take
        pass
    if not _HUB_ID.fullmatch(source):
        raise InvalidArgumentError.for_field(
            "source", "is neither a local folder nor a hub id of the form owner/name"
        )
    return _download(source)


def _download(hub_id: str) -> Path:
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InvalidArgumentError.for_field(
            "source",
            "is no local folder, and hub ids need the package huggingface_hub, "
            "which is not installed",
        )
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
    import huggingface_hub  # noqa: PLC0415 - optional, and only for downloads
    from huggingface_hub import errors  # noqa: PLC0415 - as above

    try:
        return Path(
            huggingface_hub.snapshot_download(
                hub_id, allow_patterns=_HUB_FILES, local_files_only=is_offline
            )
        )
    except errors.RepositoryNotFoundError as error:
        raise NotFoundError(Reason.MODEL_NOT_FOUND, "the hub has no such model") from error
    except errors.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if is_offline else "the hub cannot be reached"
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"the model is not on this machine, and {why}: name a local folder",
        ) from error
    except (OSError, errors.HfHubHTTPError, ValueError) as error:
        raise UnavailableError(
            Reason.DEPENDENCY_UNAVAILABLE,
            f"the model could not be fetched from the hub ({type(error).__name__})",
        ) from error


def _check_name(name: str) -> None:
    if not name or len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise InvalidArgumentError.for_field(
            "name",
            f"must be letters, digits and '._/-', up to {MAX_NAME_CHARACTERS} characters",
        )
