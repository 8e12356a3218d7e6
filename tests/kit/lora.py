"""LoRA adapters on disk for the tiny Llama: real files with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.kit.tiny_llama import TINY


def lora_folder(folder: Path, seed: int, *, rank: int = 8, hidden: int = TINY.hidden) -> Path:
    """Writes an adapter that changes the queries and outputs of each layer's attention."""
    source = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    weights = {}
    for layer in range(TINY.layers):
        for part in ("q_proj", "o_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{part}"
            for side, shape in (("lora_A", (rank, hidden)), ("lora_B", (hidden, rank))):
                values = source.normal(0, 0.3, shape).astype(np.float32)
                weights[f"{name}.{side}.weight"] = values
    save_file(weights, folder / "adapter_model.safetensors")
    configuration = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "o_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(configuration))
    return folder
