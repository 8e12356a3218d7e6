"""BERT-family encoders in a loop of our own over torch: no padding, packed weights, no framework.

Texts of a batch lie one after the other in one buffer of rows; only attention knows where one ends.
docs/decisions/0004 tells why, with measurements.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from safetensors import SafetensorError, safe_open

from services.embedding.encoder import (
    Checkpoint,
    LocatedTokens,
    ModelInfo,
    Output,
    TokenArray,
    Tokens,
    VectorArray,
)
from services.embedding.engines.attention import attend, plan_groups, query_scale
from services.embedding.engines.cuda import (
    Packed,
    RecordedPasses,
    attend_packed,
    packed_attention_works,
    record_on_cuda,
)
from services.embedding.engines.linear import Linear, linear_layer
from services.embedding.engines.shapes import padded_rows
from services.embedding.hardware import has_fast_bfloat16, return_free_memory
from services.embedding.model_folder import BertConfig, ModelFolder, read_model_folder
from services.embedding.options import InputKind
from services.embedding.text_tokenizer import TextTokenizer
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, Reason

_FEW_ROWS = 256
"""Tokens below which a pass takes one thread. Threads meet after each product: on two cores a query
of 14 tokens takes 5.8 ms on two threads and 3.3 on one, a text of 128 takes 12.6 and 9.5, one of
256 takes 18.6 and 20.9. The vectors are the same, bit for bit."""

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class BertEncoder:
    """A BERT encoder with mean or cls pooling.

    Args:
        folder: Folder of the model.
        device: "cpu", "cuda" or "cuda:1".
        precision: "float32", "bfloat16", "float16" (accelerators only), or "auto": bfloat16 where
            the hardware multiplies it, else float32.
        may_pack: False leaves oneDNN's packed weights out, for comparison.
        threads: Of a pass; 0: as many as are set now, which a small pass beside this may have
            lowered for its own time.

    Raises:
        InvalidArgumentError: The folder is no complete model, or a setting is wrong.
        FailedPreconditionError: The model or the device is not supported here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        precision: str = "auto",
        may_pack: bool = True,
        threads: int = 0,
    ) -> None:
        described = read_model_folder(folder)
        self._device = _device(device)
        dtype = _dtype(precision, self._device)
        self._config = described.config
        self._pooling = described.pooling
        try:
            self._tokenizer = TextTokenizer(folder / "tokenizer.json", described.max_tokens)
        except ValueError as error:
            raise InvalidArgumentError.for_field("source", str(error)) from error
        self._weights: _Weights | None = _load(described, self._device, dtype, may_pack=may_pack)
        self._dtype = dtype
        self._threads = threads or torch.get_num_threads()
        head_size = described.config.hidden_size // described.config.heads
        self._packs_attention = packed_attention_works(self._device, dtype, head_size)
        self._recorded = (
            RecordedPasses(self._run_packed, record_on_cuda, described.max_tokens)
            if self._packs_attention
            else None
        )
        self.info = ModelInfo(
            revision=described.revision,
            dimensions=described.config.hidden_size,
            max_tokens=described.max_tokens,
            vocabulary_size=described.config.vocabulary_size,
            engine="bert",
            device=str(self._device),
            precision=str(dtype).removeprefix("torch."),
            supports_dimensions=described.supports_dimensions,
            prompts=described.prompts,
        )
        return_free_memory()

    def tokenize(self, texts: Sequence[str], kind: InputKind) -> list[Tokens]:
        """See `Encoder`."""
        return self._tokenizer.tokenize(texts, self.info.prompts.get(kind, ""))

    def locate(self, texts: Sequence[str], kind: InputKind) -> list[LocatedTokens]:
        """See `Encoder`."""
        return self._tokenizer.locate(texts, self.info.prompts.get(kind, ""))

    def adopt(self, ids: TokenArray) -> Tokens:
        """See `Encoder`."""
        return self._tokenizer.adopt(ids)

    def count(self, texts: Sequence[str]) -> list[int]:
        """See `Encoder`."""
        return self._tokenizer.count(texts)

    @torch.inference_mode()
    def encode(
        self, batch: Sequence[TokenArray], output: Output, checkpoint: Checkpoint | None = None
    ) -> list[VectorArray]:
        """See `Encoder`."""
        order = sorted(range(len(batch)), key=lambda index: len(batch[index]))
        lengths = [len(batch[index]) for index in order]
        with self._threads_for(sum(lengths)):
            rows = self._forward([batch[index] for index in order], lengths, checkpoint)
            parts = self._parts(rows, lengths, output)
        result: list[VectorArray] = [parts[0]] * len(batch)
        for place, index in enumerate(order):
            result[index] = parts[place]
        return result

    def _parts(self, rows: torch.Tensor, lengths: list[int], output: Output) -> list[VectorArray]:
        """Returns what is wanted of each text, from the last layer's rows of all."""
        if output is Output.POOLED:
            return list(self._pool(rows, lengths).cpu().numpy())
        units = F.normalize(rows.float(), dim=1).cpu()
        parts: list[VectorArray] = [part.numpy() for part in torch.split(units, lengths)]
        if output is Output.POOLED_AND_TOKENS:
            pooled = self._pool(rows, lengths).cpu().numpy()
            parts = [np.vstack(pair) for pair in zip(pooled, parts, strict=True)]
        return parts

    @contextlib.contextmanager
    def _threads_for(self, rows: int) -> Iterator[None]:
        """Runs a pass on as many threads as it is worth; one may run within another one.

        torch tells one number for all threads of the process, but each has its own: it is set
        without asking.
        """
        if self._device.type != "cpu":
            yield
            return
        torch.set_num_threads(1 if rows < _FEW_ROWS else self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(self._threads)

    def close(self) -> None:
        """See `Encoder`."""
        self._weights = None
        self._recorded = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return_free_memory()

    def _forward(
        self, batch: Sequence[TokenArray], lengths: Sequence[int], checkpoint: Checkpoint | None
    ) -> torch.Tensor:
        """Returns the last layer's rows, (tokens of all texts, hidden)."""
        ids = torch.from_numpy(np.concatenate(batch)).long()
        if self._packs_attention:
            packed = Packed.of(ids, lengths, self._device)
            rows = None if self._recorded is None else self._recorded.run(packed)
            if rows is None:
                rows = self._run_packed(packed.ids, packed.positions, packed.ends, packed.longest)
            return rows
        positions = torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))
        more = padded_rows(len(ids)) - len(ids) if self._device.type == "cpu" else 0
        groups = plan_groups(lengths, self._config.heads, self._dtype, self._device, more)
        rows = self._run_layers(
            F.pad(ids, (0, more)).to(self._device),
            F.pad(positions, (0, more)).to(self._device),
            lambda qkv: attend(qkv, groups, self._config.heads),
            checkpoint,
        )
        return rows[: len(ids)]

    def _run_packed(
        self, ids: torch.Tensor, positions: torch.Tensor, ends: torch.Tensor, longest: int
    ) -> torch.Tensor:
        heads = self._config.heads
        return self._run_layers(
            ids, positions, lambda qkv: attend_packed(qkv, ends, longest, heads), None
        )

    def _run_layers(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        attention: Callable[[torch.Tensor], torch.Tensor],
        checkpoint: Checkpoint | None,
    ) -> torch.Tensor:
        weights = self._weights
        if weights is None:
            raise RuntimeError("the encoder is closed")
        x = F.embedding(ids, weights.words)
        x.add_(F.embedding(positions, weights.positions))
        x = weights.norm(x).to(self._dtype)
        # Three a layer, so that what someone waits for waits a third of a layer at most.
        pause = checkpoint or _go_on
        for layer in weights.layers:
            pause()
            context = attention(layer.qkv(x))
            x = layer.attention_norm(layer.attention_out(context, x))
            pause()
            inner = layer.intermediate(x)
            pause()
            x = layer.norm(layer.out(inner, x))
        return x

    def _pool(self, rows: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        counts = torch.tensor(lengths, device=rows.device)
        if self._pooling == "cls":
            return rows[torch.cumsum(counts, 0) - counts].float()
        texts = torch.repeat_interleave(torch.arange(len(lengths), device=rows.device), counts)
        sums = torch.zeros(len(lengths), rows.shape[1], device=rows.device)
        return sums.index_add_(0, texts, rows.float()) / counts[:, None]


def _go_on() -> None:
    """Is the checkpoint of a pass that has none."""


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: torch.Tensor
    bias: torch.Tensor
    epsilon: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class _Layer:
    qkv: Linear
    attention_out: Linear
    attention_norm: _Norm
    intermediate: Linear
    out: Linear
    norm: _Norm


@dataclass(frozen=True, slots=True)
class _Weights:
    words: torch.Tensor
    """(vocabulary, hidden), float32: rows are only looked up, so precision costs nothing here."""
    positions: torch.Tensor
    """(positions, hidden), float32, with the only token type added."""
    norm: _Norm
    layers: list[_Layer]


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidArgumentError.for_field("device", f"{name!r} is no device") from None
    if device.type not in {"cpu", "cuda"}:
        raise InvalidArgumentError.for_field("device", f"{name!r} is neither cpu nor cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED, "device: no CUDA device, or a build of torch without CUDA"
        )
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        is_fast = torch.cuda.is_bf16_supported if device.type == "cuda" else has_fast_bfloat16
        return torch.bfloat16 if is_fast() else torch.float32
    if precision not in _PRECISIONS:
        raise InvalidArgumentError.for_field(
            "precision", f"{precision!r} is none of auto, {', '.join(_PRECISIONS)}"
        )
    if precision == "float16" and device.type == "cpu":
        raise InvalidArgumentError.for_field("precision", "float16 needs an accelerator")
    return _PRECISIONS[precision]


class _Reader:
    """Reads tensors from a safetensors file, one at a time, so that little of it is in memory."""

    def __init__(self, file: safe_open, device: torch.device) -> None:
        self._file = file
        self.device = device
        names = set(file.keys())
        self._prefix = "bert." if "bert.embeddings.word_embeddings.weight" in names else ""

    def read(self, name: str, *shape: int) -> torch.Tensor:
        """Returns a float32 copy.

        Raises:
            InvalidArgumentError: It is missing or of another shape.
        """
        try:
            tensor = self._file.get_tensor(self._prefix + name)
        except SafetensorError:
            raise InvalidArgumentError.for_field(
                "source", f"model.safetensors has no tensor {name}"
            ) from None
        if tuple(tensor.shape) != shape:
            raise InvalidArgumentError.for_field(
                "source", f"tensor {name} has shape {tuple(tensor.shape)}, not {shape}"
            )
        return tensor.to(device=self.device, dtype=torch.float32, copy=True)


def _load(
    folder: ModelFolder, device: torch.device, dtype: torch.dtype, *, may_pack: bool
) -> _Weights:
    config = folder.config
    try:
        with safe_open(folder.path / "model.safetensors", framework="pt") as file:
            reader = _Reader(file, device)
            size = config.hidden_size
            types = reader.read("embeddings.token_type_embeddings.weight", *_types(file, size))
            return _Weights(
                words=reader.read(
                    "embeddings.word_embeddings.weight", config.vocabulary_size, size
                ),
                positions=reader.read(
                    "embeddings.position_embeddings.weight", config.max_positions, size
                )
                + types[0],
                norm=_norm(reader, "embeddings.LayerNorm", config, torch.float32),
                layers=[
                    _layer(reader, f"encoder.layer.{index}", config, dtype, may_pack=may_pack)
                    for index in range(config.layers)
                ],
            )
    except (SafetensorError, OSError) as error:
        raise InvalidArgumentError.for_field(
            "source", f"model.safetensors cannot be read ({type(error).__name__})"
        ) from error


def _types(file: safe_open, hidden_size: int) -> tuple[int, int]:
    """Returns the shape of the token types; only the first one is used."""
    for name in file.keys():  # noqa: SIM118 - a file, not a dict
        if name.endswith("token_type_embeddings.weight"):
            return file.get_slice(name).get_shape()[0], hidden_size
    return 1, hidden_size


def _norm(reader: _Reader, name: str, config: BertConfig, dtype: torch.dtype) -> _Norm:
    size = config.hidden_size
    return _Norm(
        reader.read(f"{name}.weight", size).to(dtype),
        reader.read(f"{name}.bias", size).to(dtype),
        config.layer_norm_epsilon,
    )


def _layer(
    reader: _Reader, name: str, config: BertConfig, dtype: torch.dtype, *, may_pack: bool
) -> _Layer:
    hidden, inner = config.hidden_size, config.intermediate_size

    def linear(part: str, outputs: int, inputs: int, activation: str = "") -> Linear:
        weight = reader.read(f"{name}.{part}.weight", outputs, inputs).to(dtype)
        bias = reader.read(f"{name}.{part}.bias", outputs).to(dtype)
        return linear_layer(weight, bias, activation, may_pack=may_pack)

    def norm(part: str) -> _Norm:
        return _norm(reader, f"{name}.{part}", config, dtype)

    return _Layer(
        qkv=_qkv(reader, f"{name}.attention.self", config, dtype, may_pack=may_pack),
        attention_out=linear("attention.output.dense", hidden, hidden),
        attention_norm=norm("attention.output.LayerNorm"),
        intermediate=linear("intermediate.dense", inner, hidden, config.activation),
        out=linear("output.dense", hidden, inner),
        norm=norm("output.LayerNorm"),
    )


def _qkv(
    reader: _Reader, name: str, config: BertConfig, dtype: torch.dtype, *, may_pack: bool
) -> Linear:
    """Joins the three projections and folds the scale of the scores into the queries."""
    size = config.hidden_size
    scale = query_scale(size // config.heads, dtype, reader.device)
    weights = [
        reader.read(f"{name}.{part}.weight", size, size) for part in ("query", "key", "value")
    ]
    biases = [reader.read(f"{name}.{part}.bias", size) for part in ("query", "key", "value")]
    weights[0] *= scale
    biases[0] *= scale
    return linear_layer(
        torch.cat(weights).to(dtype), torch.cat(biases).to(dtype), may_pack=may_pack
    )
