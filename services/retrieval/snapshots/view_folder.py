"""The files of one view: saved states of its columns, and the segments they share.

```
<collection id>/segments/<name>/     closed sets of vectors, never changed
<collection id>/states/<watermark>/  columns, words, newest vectors; names the segments it needs
```

A folder is written beside its name, synced and renamed: it is there whole or not at all. Every byte
is covered by a checksum, and read against it before anything is served from it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from services.retrieval.keyword.analysis import ANALYSIS
from services.retrieval.snapshots.rows_files import is_written_in_place, thaw
from services.retrieval.vectors import DamagedSegmentError, Tier, files, open_segment
from services.retrieval.view.rows import Part, Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
R = TypeVar("R")

STATES_KEPT = 2
"""Saved states of a view: the newest, and one more in case its files are damaged."""
_CHECKERS = 4
_TEMPORARY = ".tmp"


@dataclass(frozen=True, slots=True)
class Identity:
    """Which collection a state is of. Numbers of collections are used again in other databases."""

    collection_id: int
    created_micros: int
    dimensions: int
    language: str
    analysis: int = ANALYSIS
    """How its texts were cut into terms."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A segment in its place: chunk rows first..last."""

    name: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A view from its files."""

    rows: Rows
    parts: tuple[Part, ...]
    seq: int
    tenant_seq: int


class ViewFolder:
    """Where the files of one view are.

    Args:
        path: The folder, of one process alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._segments = path / "segments"
        self._states = path / "states"

    def names(self) -> list[str]:
        """Returns the names of the saved states, the newest first."""
        with contextlib.suppress(FileNotFoundError):
            found = [each.name for each in self._states.iterdir() if each.suffix != _TEMPORARY]
            return sorted(found, reverse=True)
        return []

    def state(self, name: str) -> Path:
        """Returns the folder of a state."""
        return self._states / name

    def segment(self, name: str) -> Path:
        """Returns the folder of a segment."""
        return self._segments / name

    def new_segment(self) -> str:
        """Returns the name of a segment that is to be built; its parent folder exists."""
        self._segments.mkdir(parents=True, exist_ok=True, mode=0o700)
        return f"segment-{uuid.uuid4().hex[:12]}"

    def save(
        self,
        arrays: dict[str, NDArray[Any]],
        about: dict[str, Any],
        segments: Sequence[Placed],
        identity: Identity,
    ) -> str:
        """Saves a state; returns its name.

        Args:
            arrays: Everything but the segments, by name.
            about: What the arrays do not say, with `seq` and `tenant_seq`.
            segments: Segments over the rows before the newest ones.
            identity: Whose state it is.

        Raises:
            OSError: the disk is full or broken; nothing is left behind.
        """
        # Named with its watermark; of two at the same one, the later sorts last.
        name = f"{about['seq']:019d}-{about['tenant_seq']:019d}-{time.time_ns()}"
        made = self._states / f"{name}{_TEMPORARY}"
        made.mkdir(parents=True, mode=0o700)
        try:
            described: dict[str, tuple[str, tuple[int, ...]]] = {}
            for key, array in arrays.items():
                files.write_array(made, key, array)
                described[key] = (array.dtype.str, array.shape)
            state = {
                "about": about,
                "segments": [asdict(each) for each in segments],
                "identity": asdict(identity),
            }
            files.seal(made, described, {"state": state})
            files.publish(made, self._states / name)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        return name

    def read(
        self, name: str, identity: Identity, tier: Tier, *, is_checked: bool = True
    ) -> tuple[Rows, dict[str, Any]]:
        """Returns the rows of a state, without its segments, and what its manifest says.

        Args:
            name: Name of the state.
            identity: Whose state it must be.
            tier: WARM maps columns from their files.
            is_checked: Whether all bytes are held against their checksums.

        Raises:
            DamagedSegmentError: a file is missing, cut or changed, or it is another's state.
        """
        folder = self._states / name
        manifest = files.read_manifest(folder)
        try:
            state = manifest["state"]
            if state["identity"] != asdict(identity):
                raise DamagedSegmentError("the state is of another collection")
            names = set(manifest["arrays"])
            _all(
                lambda each: files.check_file(folder, each, manifest, is_deep=is_checked),
                [f"{each}.bin" for each in names],
            )

            def read(each: str) -> NDArray[Any]:
                is_mapped = tier is Tier.WARM and not is_written_in_place(each)
                return files.open_array(folder, each, manifest, is_mapped=is_mapped)

            return thaw(state["about"], names, identity.language, read), state
        except (KeyError, ValueError, TypeError, IndexError, OSError) as error:
            raise DamagedSegmentError(
                f"the state cannot be read: {type(error).__name__}"
            ) from error

    def load(self, name: str, identity: Identity, tier: Tier) -> Loaded:
        """Returns a view from a saved state, every byte checked.

        Raises:
            DamagedSegmentError: a file is missing, cut or changed, or it is another's state.
        """
        rows, state = self.read(name, identity, tier)
        placed = [Placed(**each) for each in state["segments"]]
        opened = _all(lambda each: open_segment(self.segment(each.name), tier=tier), placed)
        parts = tuple(
            Part(each.name, each.first, each.last, segment, tier)
            for each, segment in zip(placed, opened, strict=True)
        )
        last = 0
        for part in parts:
            if part.first != last or part.segment.rows != part.row_count:
                raise DamagedSegmentError("the segments do not follow on each other")
            last = part.last
        if last != rows.memtable.first:
            raise DamagedSegmentError("the newest rows do not follow on the segments")
        about = state["about"]
        return Loaded(rows, parts, about["seq"], about["tenant_seq"])

    def discard(self, name: str) -> None:
        """Removes a state."""
        shutil.rmtree(self._states / name, ignore_errors=True)

    def remove(self) -> None:
        """Removes everything."""
        shutil.rmtree(self.path, ignore_errors=True)

    def sweep(self, in_use: Callable[[], Iterable[str]]) -> None:
        """Removes states beyond those kept, and segments that none of them needs.

        Args:
            in_use: Returns the segments that are open or being built; named there before their
                folders are made.
        """
        # Looked at before asking what is in use: what is made meanwhile is not seen at all.
        segments: list[Path] = []
        with contextlib.suppress(FileNotFoundError):
            segments = list(self._segments.iterdir())
        names = self.names()
        for name in names[STATES_KEPT:]:
            self.discard(name)
        needed = set(in_use())
        for name in names[:STATES_KEPT]:
            try:
                state = files.read_manifest(self._states / name)["state"]
                needed |= {each["name"] for each in state["segments"]}
            except (DamagedSegmentError, KeyError, TypeError):
                continue  # who loads it finds out, and says so
        for each in segments:
            if each.name.split(".")[0] not in needed:
                _remove(each)

    def clean(self) -> None:
        """Removes what an interrupted process left half written; before anything is opened."""
        for folder in (self.path, self._segments, self._states):
            with contextlib.suppress(FileNotFoundError):
                for each in folder.iterdir():
                    if each.suffix in {_TEMPORARY, ".json"}:
                        _remove(each)
        self.sweep(tuple)

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of all files."""
        return sum(
            (Path(folder) / each).stat().st_size
            for folder, _, names in os.walk(self.path)
            for each in names
        )


class Stacked:
    """Rows of several arrays as one that can be sliced: what builders read from.

    Args:
        arrays: (n, d) float32 each, may be mapped.
        chosen: Rows to take, ascending; None: all.
    """

    ndim = 2

    def __init__(
        self, arrays: Sequence[NDArray[np.float32]], chosen: NDArray[np.int64] | None
    ) -> None:
        self._arrays = arrays
        self._starts = np.cumsum([0, *map(len, arrays)])
        self._chosen = chosen
        rows = int(self._starts[-1]) if chosen is None else len(chosen)
        self.shape = (rows, arrays[0].shape[1])

    def as_array(self) -> NDArray[np.float32]:
        """Returns this, for builders: they slice it, and never use it whole."""
        return cast("NDArray[np.float32]", self)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: slice) -> NDArray[np.float32]:
        first, last, _ = where.indices(len(self))
        rows = np.arange(first, last) if self._chosen is None else self._chosen[first:last]
        found = np.empty((len(rows), self.shape[1]), np.float32)
        for start, array in zip(self._starts[:-1].tolist(), self._arrays, strict=True):
            inside = slice(*np.searchsorted(rows, (start, start + len(array))))
            if inside.stop > inside.start:
                found[inside] = array[rows[inside] - start]
        return found


def _all(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Does something with all items, some at once: checksums leave the interpreter free."""
    with ThreadPoolExecutor(_CHECKERS, thread_name_prefix="view-files") as pool:
        return list(pool.map(work, items))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
