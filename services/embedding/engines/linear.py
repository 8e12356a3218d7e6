"""Linear layers: packed for oneDNN where that works on this machine, plain anywhere else."""

from __future__ import annotations

import functools
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

_PACK_ROWS = 512
"""Rows to pack weights for. Without it oneDNN builds a kernel for each new row count, 2 ms each."""
_FUSED = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
}
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.04}
"""Largest difference to the plain layer, relative to the largest result, in the feature test."""


class Linear(Protocol):
    """Computes `activation(x @ weight.T + bias) + residual`."""

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Applies the layer to rows.

        Args:
            x: (rows, inputs).
            residual: (rows, outputs), or None.
        """
        ...


class PlainLinear:
    """`torch.nn.functional.linear`: any device, any precision.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,).
        activation: Its name in `config.json`, or empty.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, activation: str = "") -> None:
        self._weight = weight.contiguous()
        self._bias = bias.contiguous()
        self._activation = activation

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """See `Linear`."""
        y = F.linear(x, self._weight, self._bias)
        if self._activation == "relu":
            y = F.relu(y)
        elif self._activation == "gelu":
            y = F.gelu(y)
        elif self._activation:
            y = F.gelu(y, approximate="tanh")
        return y if residual is None else y + residual


class PackedLinear:
    """oneDNN with weights in its own order: 2.3 times MKL's float32 on AMD, 1.05 times in bfloat16.

    Uses private operators of torch: make it by `linear_layer`, which tests them first.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, activation: str = "") -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(  # noqa: SLF001 - see the class
            weight.contiguous(), _PACK_ROWS
        )
        self._bias = bias.contiguous()
        self._attribute, self._algorithm = _FUSED.get(activation, ("none", ""))
        operator = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - see the class
        self._run, self._run_with_residual = operator.default, operator.binary

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """See `Linear`."""
        if residual is not None and self._attribute == "none":
            return self._run_with_residual(x, residual, self._weight, self._bias, "add")
        y = self._run(x, self._weight, self._bias, self._attribute, [], self._algorithm)
        return y if residual is None else y + residual


@functools.cache
def packing_works(dtype: torch.dtype) -> bool:
    """Tries the packed layer against the plain one: present, and right for any count of rows."""
    if dtype not in _TOLERANCE or not torch.backends.mkldnn.is_available():
        return False
    try:
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(96, 64, generator=generator).to(dtype)
        bias = torch.randn(96, generator=generator).to(dtype)
        for activation in ("", *_FUSED):
            packed = PackedLinear(weight, bias, activation)
            plain = PlainLinear(weight.float(), bias.float(), activation)
            for rows in (1, 7, 33, 700):
                x = torch.randn(rows, 64, generator=generator).to(dtype)
                residual = torch.randn(rows, 96, generator=generator).to(dtype)
                got = packed(x, residual).float()
                wanted = plain(x.float(), residual.float())
                if (got - wanted).abs().max() > _TOLERANCE[dtype] * wanted.abs().max():
                    return False
    except (RuntimeError, AttributeError, NotImplementedError, TypeError):
        return False
    return True


def linear_layer(
    weight: torch.Tensor, bias: torch.Tensor, activation: str = "", *, may_pack: bool = True
) -> Linear:
    """Returns the fastest layer that works for the weight's device and precision."""
    if may_pack and weight.device.type == "cpu" and packing_works(weight.dtype):
        return PackedLinear(weight, bias, activation)
    return PlainLinear(weight, bias, activation)
