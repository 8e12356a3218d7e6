"""Where the views of one process have their files: a folder for each collection."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from services.retrieval.snapshots.slot import claim
from services.retrieval.snapshots.view_folder import ViewFolder

if TYPE_CHECKING:
    from services.retrieval.snapshots.slot import Slot


class ViewFolders:
    """Folders of collections, in one that no other process holds. All methods block.

    Args:
        root: Shared by the processes of a data directory; None: a folder of its own that is removed
            at the end.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._slot: Slot | None = None

    def open(self) -> None:
        """Takes a folder, and removes what a process before left half done."""
        root = self._root
        if root is None:
            self._own = tempfile.TemporaryDirectory(prefix="cairn-views-")
            root = Path(self._own.name)
        self._slot = claim(root)
        for path in self._slot.path.iterdir():
            if path.is_dir():
                ViewFolder(path).clean()

    def close(self) -> None:
        """Lets another process have the folder."""
        if self._slot is not None:
            self._slot.release()
        if self._own is not None:
            self._own.cleanup()

    def of(self, collection_id: int) -> ViewFolder:
        """Returns the folder of a collection."""
        if self._slot is None:
            raise RuntimeError("the keeper is not open")
        return ViewFolder(self._slot.path / str(collection_id))

    def keep_only(self, known: set[int]) -> None:
        """Removes the files of collections that were deleted while this process was away."""
        if self._slot is None:
            return
        for path in self._slot.path.iterdir():
            if path.is_dir() and not (path.name.isdigit() and int(path.name) in known):
                ViewFolder(path).remove()
