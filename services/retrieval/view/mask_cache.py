"""Masks kept for the next search: whole ones of a state, and ones that grow with the rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.view.arrays import GrowingArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CACHED = 64
_MAX_BYTES = 16 << 20
"""Of the masks that grow, in one view."""


class MaskCache:
    """The most recent things made for one state, by what they stand for."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Returns what the key stands for, made when it is not there. Callers must not change it.

        Arrays come back read-only.
        """
        with self._lock:
            made = self._made.get(key)
            if made is not None:
                self._made.move_to_end(key)
                return made
        made = make()
        if isinstance(made, np.ndarray):
            made.flags.writeable = False
        with self._lock:
            self._made[key] = made
            if len(self._made) > _CACHED:
                self._made.popitem(last=False)
        return made


class _GrowingMask:
    """A mask over the first rows, and the lock of who makes it longer."""

    __slots__ = ("is_made", "lock", "mask")

    def __init__(self) -> None:
        self.is_made = False
        self.lock = threading.Lock()
        self.mask = GrowingArray(np.bool_)


class GrowingMasks:
    """Masks over rows that never change, by what they stand for.

    What a filter says of a row stays true; only rows that came since are asked, so that a small
    write costs the next search little, however many rows there are.
    """

    def __init__(self) -> None:
        self._masks: OrderedDict[Hashable, _GrowingMask] = OrderedDict()
        self._lock = threading.Lock()

    def get(
        self, key: Hashable, count: int, make: Callable[[int], NDArray[np.bool_]]
    ) -> NDArray[np.bool_]:
        """Returns the mask of the first `count` rows, which callers must not change.

        Args:
            key: What the mask stands for.
            count: Rows wanted.
            make: Returns the mask of the rows from a number to before `count`.
        """
        with self._lock:
            known = self._masks.get(key)
            if known is None:
                known = self._masks[key] = _GrowingMask()
            self._masks.move_to_end(key)
        with known.lock:
            # Also over no rows at all: what is wrong with a filter must be said.
            if known.mask.size < count or not known.is_made:
                known.mask.extend(make(known.mask.size))
                known.is_made = True
                self._shrink()
            found = known.mask.rows(count)
        found.flags.writeable = False
        return found

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        with self._lock:
            return sum(each.mask.nbytes for each in self._masks.values())

    def _shrink(self) -> None:
        with self._lock:
            held = sum(each.mask.nbytes for each in self._masks.values())
            while len(self._masks) > 1 and (held > _MAX_BYTES or len(self._masks) > _CACHED):
                _, gone = self._masks.popitem(last=False)
                held -= gone.mask.nbytes
