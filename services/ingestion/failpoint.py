"""Places where tests kill the process, to see that nothing is lost."""

from __future__ import annotations

import os
import signal


class Failpoint:
    """One place, chosen by configuration; in production none.

    Args:
        spec: `<place>:crash`, where the place is a stage ("parsed", "chunked", "embedded",
            "indexed": done, not yet recorded) or "after-" and a stage (just recorded; or held
            back, of a short document), or one of the places in a synchronisation; empty: none.

    Raises:
        ValueError: the specification cannot be read.
    """

    PLACES = frozenset(
        prefix + stage
        for prefix in ("", "after-")
        for stage in ("received", "parsed", "chunked", "embedded", "indexed")
    )

    SYNC_PLACES = frozenset({"sync-submitted", "sync-remembered", "sync-deleted"})
    """While a source is gone through: a document is queued and not remembered; some are remembered;
    documents of what is gone are deleted and not forgotten."""

    def __init__(self, spec: str) -> None:
        self._place, _, action = spec.partition(":")
        if spec and (self._place not in self.PLACES | self.SYNC_PLACES or action != "crash"):
            raise ValueError(f"unknown failpoint {spec!r}: use <place>:crash")

    def reach(self, place: str) -> None:
        """Dies here, if this is the place."""
        if place == self._place:
            os.kill(os.getpid(), signal.SIGKILL)
