"""Packed layers compute what plain ones do, and plain ones step in where packing fails."""

from __future__ import annotations

import pytest
import torch

from services.embedding.engines import linear
from services.embedding.engines.linear import PackedLinear, PlainLinear, linear_layer, packing_works


@pytest.fixture
def numbers():
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randn(*shape, generator=generator)


@pytest.mark.parametrize("activation", ["", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
@pytest.mark.parametrize("rows", [1, 13, 600])
def test_packed_agrees_with_plain(numbers, activation, rows):
    if not packing_works(torch.float32):
        pytest.skip("oneDNN's packed layers do not work here: only the plain ones are used")
    weight, bias, x, residual = numbers(48, 32), numbers(48), numbers(rows, 32), numbers(rows, 48)
    packed, plain = PackedLinear(weight, bias, activation), PlainLinear(weight, bias, activation)
    torch.testing.assert_close(packed(x), plain(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(packed(x, residual), plain(x, residual), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("failure", [RuntimeError, AttributeError, NotImplementedError])
def test_plain_layers_step_in_where_packing_fails(numbers, monkeypatch, failure):
    class Broken:
        def __init__(self, *_):
            raise failure

    monkeypatch.setattr(linear, "PackedLinear", Broken)
    packing_works.cache_clear()
    try:
        assert isinstance(linear_layer(numbers(4, 4), numbers(4)), PlainLinear)
    finally:
        packing_works.cache_clear()


def test_wrong_results_count_as_failure(monkeypatch):
    class Wrong(PlainLinear):
        def __call__(self, x, residual=None):
            return super().__call__(x, residual) * 1.5

    monkeypatch.setattr(linear, "PackedLinear", Wrong)
    packing_works.cache_clear()
    try:
        assert not packing_works(torch.float32)
    finally:
        packing_works.cache_clear()


def test_other_precisions_are_never_packed(numbers):
    assert isinstance(linear_layer(numbers(4, 4).half(), numbers(4).half()), PlainLinear)
