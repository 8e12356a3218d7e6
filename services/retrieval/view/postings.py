"""For each key the rows that have it: growing lists at the end, immutable arrays before."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.view.arrays import resident

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_NO_ROWS = np.empty(0, np.uint32)
_NO_NUMBERS = np.empty(0, np.uint16)
_BYTES_PER_LIST = 220
"""Of a list in the dictionary, beside its rows."""


@dataclass(frozen=True, slots=True)
class PostingPart:
    """Lists of rows, one after the other."""

    keys: NDArray[np.uint32]
    """Ascending."""
    offsets: NDArray[np.int64]
    """Where each key's rows begin; one more than there are keys."""
    rows: NDArray[np.uint32]
    """Ascending within a key."""
    numbers: NDArray[np.uint16]
    """One for each row, or none at all."""

    def bounds(self, key: int) -> tuple[int, int]:
        """Returns where a key's rows begin and end; both the same when it has none."""
        # In the keys' own type: for another one numpy would copy all of them first.
        place = int(self.keys.searchsorted(np.uint32(key)))
        if place == len(self.keys) or self.keys[place] != key:
            return 0, 0
        return int(self.offsets[place]), int(self.offsets[place + 1])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns what is to be saved."""
        return {
            "keys": self.keys,
            "offsets": self.offsets,
            "rows": self.rows,
            "numbers": self.numbers,
        }

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(resident(each) for each in self.arrays().values())


@dataclass(frozen=True, slots=True)
class _State:
    """What readers take hold of; a row is in a part, or in a later list."""

    parts: tuple[PostingPart, ...]
    rows: dict[int, array[int]]
    numbers: dict[int, array[int]]


class Postings:
    """Rows by key. One thread adds rows in ascending order, any thread reads.

    Args:
        has_numbers: Whether each row comes with a number of 16 bits.
        parts: Sealed lists to begin with, earlier rows first.
    """

    __slots__ = ("_has_numbers", "_state", "tail_size")

    def __init__(self, *, has_numbers: bool = False, parts: Sequence[PostingPart] = ()) -> None:
        self._has_numbers = has_numbers
        self._state = _State(tuple(parts), {}, {})
        self.tail_size = 0
        """Rows in lists that are not sealed."""

    @property
    def parts(self) -> tuple[PostingPart, ...]:
        """The sealed parts."""
        return self._state.parts

    def add(self, key: int, row: int) -> None:
        """Notes that `row`, no smaller than all before, has the key."""
        rows = self._state.rows.get(key)
        if rows is None:
            rows = self._state.rows[key] = array("I")
        rows.append(row)
        self.tail_size += 1

    def add_all(self, key: int, rows: Sequence[int]) -> None:
        """Notes that ascending rows, no smaller than all before, have the key."""
        known = self._state.rows.get(key)
        if known is None:
            known = self._state.rows[key] = array("I")
        known.extend(rows)
        self.tail_size += len(rows)

    def add_numbered(
        self, keys: NDArray[np.uint32], rows: NDArray[np.uint32], numbers: NDArray[np.uint16]
    ) -> None:
        """Notes which rows, no smaller than all before, have which keys, each with its number.

        Args:
            keys: Ascending.
            rows: A row of each key, ascending within a key.
            numbers: The number of each row under its key.
        """
        state = self._state
        starts = np.flatnonzero(np.diff(keys, prepend=keys[0] ^ 1))
        ends = [*starts[1:].tolist(), len(keys)]
        row_bytes, number_bytes = memoryview(rows.tobytes()), memoryview(numbers.tobytes())
        for key, start, end in zip(keys[starts].tolist(), starts.tolist(), ends, strict=True):
            known = state.rows.get(key)
            if known is None:
                # Numbers first: who finds rows finds their numbers.
                state.numbers[key] = array("H")
                known = state.rows[key] = array("I")
            state.numbers[key].frombytes(number_bytes[2 * start : 2 * end])
            known.frombytes(row_bytes[4 * start : 4 * end])
        self.tail_size += len(rows)

    def get(self, key: int, count: int, first: int = 0) -> NDArray[np.uint32]:
        """Returns the rows from `first` to before `count` that have the key."""
        return self.numbered(key, count, first)[0]

    def numbered(
        self, key: int, count: int, first: int = 0
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Returns rows as `get` does, and their numbers."""
        state = self._state
        found = [_cut(*_of_part(part, key), first, count) for part in state.parts]
        rows = state.rows.get(key)
        if rows is not None:
            # tobytes copies in one step of the interpreter: a view of the array would forbid it to
            # grow. Numbers are read after the rows, so there are at least as many.
            tail = np.frombuffer(rows.tobytes(), np.uint32)
            numbers = _NO_NUMBERS
            if self._has_numbers:
                numbers = np.frombuffer(state.numbers[key].tobytes(), np.uint16)[: len(tail)]
            found.append(_cut(tail, numbers, first, count))
        found = [each for each in found if len(each[0])]
        if not found:
            return _NO_ROWS, _NO_NUMBERS
        if len(found) == 1:
            return found[0]
        return (
            np.concatenate([rows for rows, _ in found]),
            np.concatenate([numbers for _, numbers in found]),
        )

    def seal(self) -> None:
        """Moves the newest rows into a part; the caller keeps other writers out."""
        state = self._state
        if not state.rows:
            return
        keys = sorted(state.rows)
        lists = [state.rows[key] for key in keys]
        offsets = np.zeros(len(keys) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)), out=offsets[1:])
        numbers = _NO_NUMBERS
        if self._has_numbers:
            joined = b"".join([state.numbers[key].tobytes() for key in keys])
            numbers = np.frombuffer(joined, np.uint16)
        rows = np.frombuffer(b"".join([each.tobytes() for each in lists]), np.uint32)
        part = PostingPart(np.array(keys, np.uint32), offsets, rows, numbers)
        self._state = _State((*state.parts, part), {}, {})
        self.tail_size = 0

    def adopt(self, merged: PostingPart, replaced: int) -> None:
        """Puts `merged` in the place of the first `replaced` parts, which it was made of."""
        state = self._state
        parts = (merged, *state.parts[replaced:])
        self._state = _State(parts, state.rows, state.numbers)

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        state = self._state
        tail = self.tail_size * (6 if self._has_numbers else 4) + len(state.rows) * _BYTES_PER_LIST
        return sum(part.nbytes for part in state.parts) + tail


def merge_parts(parts: Sequence[PostingPart]) -> PostingPart:
    """Returns one part with the rows of several, earlier rows first."""
    if not parts:
        return PostingPart(np.empty(0, np.uint32), np.zeros(1, np.int64), _NO_ROWS, _NO_NUMBERS)
    if len(parts) == 1:
        return parts[0]
    keys = np.unique(np.concatenate([part.keys for part in parts]))
    places = [np.searchsorted(keys, part.keys) for part in parts]
    sizes = np.zeros(len(keys), np.int64)
    for part, place in zip(parts, places, strict=True):
        sizes[place] += np.diff(part.offsets)
    offsets = np.zeros(len(keys) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    rows = np.empty(int(offsets[-1]), np.uint32)
    has_numbers = any(len(part.numbers) for part in parts)
    numbers = np.empty(len(rows) if has_numbers else 0, np.uint16)
    free = offsets[:-1].copy()
    for part, place in zip(parts, places, strict=True):
        lengths = np.diff(part.offsets)
        # Each row moves by as much as its key's rows do.
        target = np.repeat(free[place] - part.offsets[:-1], lengths)
        target += np.arange(len(part.rows))
        rows[target] = part.rows
        if has_numbers:
            numbers[target] = part.numbers
        free[place] += lengths
    return PostingPart(keys, offsets, rows, numbers)


def keep_rows(part: PostingPart, new_row: NDArray[np.int64]) -> PostingPart:
    """Returns the part with other row numbers, without rows whose new number is negative.

    Args:
        part: Lists of rows.
        new_row: New number of each row, ascending where it is not negative.
    """
    moved = new_row[part.rows]
    is_kept = moved >= 0
    before = np.zeros(len(part.rows) + 1, np.int64)
    np.cumsum(is_kept, out=before[1:])
    offsets = before[part.offsets]
    has_rows = np.diff(offsets) > 0
    return PostingPart(
        part.keys[has_rows],
        np.concatenate([offsets[:-1][has_rows], offsets[-1:]]),
        moved[is_kept].astype(np.uint32),
        part.numbers[is_kept] if len(part.numbers) else part.numbers,
    )


def load_part(arrays: Mapping[str, NDArray[Any]]) -> PostingPart:
    """Returns the part that `arrays` gave."""
    return PostingPart(arrays["keys"], arrays["offsets"], arrays["rows"], arrays["numbers"])


def _of_part(part: PostingPart, key: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    first, last = part.bounds(key)
    return part.rows[first:last], part.numbers[first:last]


def _cut(
    rows: NDArray[np.uint32], numbers: NDArray[np.uint16], first: int, count: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    if not len(rows) or (rows[0] >= first and rows[-1] < count):
        return rows, numbers
    bounds = slice(*np.searchsorted(rows, (first, count)))
    return rows[bounds], numbers[bounds]
