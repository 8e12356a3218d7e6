"""The file that names models to load at the start, those of remote endpoints among them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from services.rpc.errors import StartupError

_MAX_BYTES = 1_000_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EndpointEntry(_Part):
    """Where a remote model is served. The key stands in a file of its own, or here."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    model: Annotated[str, Field(min_length=1)]
    api_key: SecretStr = SecretStr("")
    api_key_file: Path | None = None

    def key(self) -> str:
        """Returns the key; empty for none.

        Raises:
            StartupError: Its file cannot be read.
        """
        if self.api_key_file is None:
            return self.api_key.get_secret_value()
        try:
            return self.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StartupError(f"{self.api_key_file}: {type(error).__name__}") from error


class RemoteEntry(_Part):
    """A model behind OpenAI-compatible endpoints, in order of preference."""

    endpoints: Annotated[tuple[EndpointEntry, ...], Field(min_length=1)]
    dimensions: Annotated[int, Field(ge=1, le=65_536)]
    revision: str = ""
    max_characters: Annotated[int, Field(ge=1)] = 32_000
    supports_dimensions: bool = False
    query_prompt: str = ""
    document_prompt: str = ""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    rounds: Annotated[int, Field(ge=1, le=10)] = 3
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8


class ModelEntry(_Part):
    """One model: from a folder or the hub, or remote."""

    name: Annotated[str, Field(min_length=1)]
    source: str = ""
    engine: str = ""
    remote: RemoteEntry | None = None
    default: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> ModelEntry:
        if bool(self.source) == (self.remote is not None):
            raise ValueError("give either source or remote")
        return self


class ModelsFile(_Part):
    """All of them."""

    models: tuple[ModelEntry, ...]

    @model_validator(mode="after")
    def _one_default(self) -> ModelsFile:
        if sum(each.default for each in self.models) > 1:
            raise ValueError("only one model can be the default")
        return self

    @property
    def default(self) -> ModelEntry | None:
        """The one that requests without a model's name go to, if it is in this file."""
        return next((each for each in self.models if each.default), None)


def read_models_file(path: Path | None) -> ModelsFile:
    """Reads the file; without one there are no further models.

    Raises:
        StartupError: It cannot be read, or says what is wrong in it.
    """
    if path is None:
        return ModelsFile(models=())
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise StartupError(
                f"CAIRN_EMBEDDING_MODELS_FILE={path}: larger than {_MAX_BYTES} bytes"
            )
        return ModelsFile.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"CAIRN_EMBEDDING_MODELS_FILE={path}: {type(error).__name__}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)[:5]
        )
        raise StartupError(f"CAIRN_EMBEDDING_MODELS_FILE={path}: {problems}") from error
