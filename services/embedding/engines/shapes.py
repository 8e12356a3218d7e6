"""Counts rounded up to few values, so that oneDNN finds a compiled kernel again.

It compiles one for each new shape of a product, .4 ms and 670 KB each. A batch without padding
has new shapes nearly each time: some 8 kernels a pass, up to a fifth of its time. A few rows more
take less.
"""

from __future__ import annotations

_ROW_STEPS = ((256, 16), (1 << 62, 32))
"""Up to how many rows, and the step: a pass has between 3 and 6 hundredths more of them."""
_LENGTH_STEPS = ((64, 8), (128, 16), (1 << 62, 32))
_TEXT_STEPS = ((4, 1), (16, 4), (64, 16), (1 << 62, 64))


def padded_rows(rows: int) -> int:
    """Returns how many rows a pass over so many is given."""
    return _up(rows, _ROW_STEPS)


def padded_length(tokens: int) -> int:
    """Returns the length of texts in attention whose longest has so many tokens."""
    return _up(tokens, _LENGTH_STEPS)


def padded_texts(texts: int) -> int:
    """Returns how many texts a step of attention over so many is given."""
    return _up(texts, _TEXT_STEPS)


def _up(count: int, steps: tuple[tuple[int, int], ...]) -> int:
    for most, step in steps:
        rounded = -(-count // step) * step
        if count <= most:
            return rounded
    raise AssertionError("the last step has no bound")
