"""A tiny random Llama on disk: real enough for vLLM, made offline in seconds.

Run as a script by the Python of the vLLM environment (which pins `transformers`); tests call `tiny_llama_folder`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VLLM_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
VERSION = 3
"""Raise it when the recipe changes, so that cached folders are made anew."""

_LINES = (
    "The passages answer the question, with numbers in brackets like [1] and [2] after each part.",
    "An index is a view over stored rows; it can be thrown away and built again from the truth.",
    "Every request has one deadline, and cancelling it stops the work everywhere it was begun.",
    "Who may read a document is decided before the search, and checked again after it has ended.",
    "What a service cannot do it says, with the reason and with a time at which to come back.",
)
"""What the tokenizer is trained on."""

_BANNED_LOGIT = -3.0

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a model is."""

    name: str
    hidden: int
    layers: int
    heads: int


TINY = Size("tiny", hidden=256, layers=4, heads=4)
MID = Size("mid", hidden=1024, layers=12, heads=16)
"""About 130 million weights: large enough that the model's own time is what counts."""
SIZES = {each.name: each for each in (TINY, MID)}


def tiny_llama_folder(size: Size = TINY) -> Path:
    """Returns the folder of the model, made on first use and cached under the repository's `.cache/`."""
    folder = ROOT / ".cache" / f"{size.name}-llama-{VERSION}"
    if not (folder / "done").exists():
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        subprocess.run(
            [VLLM_PYTHON, __file__, folder, size.name],
            check=True,
            env=environment,
            timeout=120,
            capture_output=True,
        )
    return folder


def make(folder: Path, size: Size) -> None:
    """Writes configuration, random weights and a byte-level BPE tokenizer.

    The model says printable ASCII only, and never ends by itself: a feature of the residual stream
    that is the same for every token pushes all other tokens away.
    """
    # Of the vLLM environment, not of the one that imports this module.
    import torch  # noqa: PLC0415
    from tokenizers import (  # noqa: PLC0415
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        trainers,
    )
    from transformers import (  # noqa: PLC0415
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        _LINES,
        trainers.BpeTrainer(
            vocab_size=500,
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
        vocab_size=512,
        hidden_size=size.hidden,
        intermediate_size=2 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads // 2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        torch_dtype="bfloat16",
    )
    model = LlamaForCausalLM(config)
    banned = [
        token
        for token in range(config.vocab_size)
        if token < 5 or not _is_printable(tokenizer.decode([token], skip_special_tokens=False))
    ]
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 0.3
        model.lm_head.weight[banned, 0] = _BANNED_LOGIT
        for layer in model.model.layers:  # nothing else may write to that feature
            layer.self_attn.o_proj.weight[0, :] = 0
            layer.mlp.down_proj.weight[0, :] = 0
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "done").touch()


def _is_printable(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


if __name__ == "__main__":
    make(Path(sys.argv[1]), SIZES[sys.argv[2]])
