"""A tiny random Llama on disk: real enough for vLLM, made offline in seconds.

Run as a script by the Python of the vLLM environment (which pins `transformers`); tests call `tiny_llama_folder`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VLLM_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
VERSION = 1
"""Raise it when the recipe changes, so that cached folders are made anew."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def tiny_llama_folder() -> Path:
    """Returns the folder of the model, made on first use and cached under the repository's `.cache/`."""
    folder = ROOT / ".cache" / f"tiny-llama-{VERSION}"
    if not (folder / "done").exists():
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        subprocess.run(
            [VLLM_PYTHON, __file__, folder],
            check=True,
            env=environment,
            timeout=120,
            capture_output=True,
        )
    return folder


def make(folder: Path) -> None:
    """Writes configuration, random weights and a byte-level BPE tokenizer trained on a few lines."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    lines = [line for path in sorted(ROOT.glob("*.md")) for line in path.read_text().splitlines()]
    tokenizer.train_from_iterator(
        [*lines, "the passages answer the question with numbers in brackets [1] [2]"],
        trainers.BpeTrainer(
            vocab_size=1000,
            special_tokens=["<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=CHAT_TEMPLATE
    )
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=1024,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        torch_dtype="bfloat16",
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    (folder / "done").touch()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
