"""A tiny random BERT as a sentence-transformers folder, made in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["granite", "basalt", "slate", "is", "a", "rock", "hard", "what", "query", "the", ":", "?"]
CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 5 + 2 * 26 + len(WORDS),
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


def tiny_bert_folder(
    path: Path,
    *,
    seed: int = 0,
    pooling: str = "mean_tokens",
    max_tokens: int = 24,
    config: dict[str, Any] | None = None,
    prompts: dict[str, str] | None = None,
    prefix: str = "",
) -> Path:
    """Writes a model and returns its folder.

    Args:
        path: Where; it is made.
        seed: Of the weights.
        pooling: Rest of the `pooling_mode_…` key that is true.
        max_tokens: The model's limit.
        config: Changes of `CONFIG`.
        prompts: By name, as sentence-transformers keeps them.
        prefix: Of the tensors' names.
    """
    settings = CONFIG | (config or {})
    (path / "1_Pooling").mkdir(parents=True)
    _write(path / "config.json", settings)
    _write(path / "sentence_bert_config.json", {"max_seq_length": max_tokens})
    _write(path / "config_sentence_transformers.json", {"prompts": prompts or {}})
    _write(
        path / "1_Pooling" / "config.json",
        {"word_embedding_dimension": settings["hidden_size"], f"pooling_mode_{pooling}": True},
    )
    kinds = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
    modules = [
        {"idx": i, "name": str(i), "path": at, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, at) in enumerate(kinds.items())
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    _tokenizer().save(str(path / "tokenizer.json"))
    save_file(_weights(settings, seed, prefix), path / "model.safetensors")
    return path


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _tokenizer() -> Tokenizer:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters] + WORDS
    tokenizer = Tokenizer(
        models.WordPiece({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As careless exports do: these must not decide about anything.
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    return tokenizer


def _weights(config: dict[str, Any], seed: int, prefix: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        linears = {
            f"{name}.attention.self.query": (hidden, hidden),
            f"{name}.attention.self.key": (hidden, hidden),
            f"{name}.attention.self.value": (hidden, hidden),
            f"{name}.attention.output.dense": (hidden, hidden),
            f"{name}.intermediate.dense": (inner, hidden),
            f"{name}.output.dense": (hidden, inner),
        }
        for linear, shape in linears.items():
            shapes[f"{linear}.weight"] = shape
            shapes[f"{linear}.bias"] = shape[:1]
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    weights = {
        name: torch.randn(*shape, generator=generator) * 0.3 for name, shape in shapes.items()
    }
    for norm in norms:
        weights[f"{norm}.weight"] = torch.rand(hidden, generator=generator) + 0.5
        weights[f"{norm}.bias"] = torch.randn(hidden, generator=generator) * 0.1
    return {prefix + name: tensor for name, tensor in weights.items()}
