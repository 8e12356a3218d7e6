"""What a request did, noted where it does it and written down where it is answered.

Every operation asks its caller for permission, and so notes itself here; whoever serves the request
(`edge/exchange.py`, the servicer) opens the trail and writes it into the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar

MAX_SUBJECTS = 64
"""Documents and questions named in one entry; more are counted."""
_MAX_ACTIONS = 16


class Trail:
    """What one request did so far."""

    __slots__ = ("actions", "collection", "details", "is_change", "outcome", "subjects")

    def __init__(self) -> None:
        self.actions: list[str] = []
        self.collection = ""
        self.subjects: list[tuple[str, str]] = []
        """What it was about, in plain: kind and identifier or text. Only keyed hashes are kept."""
        self.details: dict[str, str | int] = {}
        """Further facts that are no content: counts, names of keys and roles."""
        self.is_change = False
        self.outcome = ""
        """Reason of the refusal or failure; empty: none."""

    def add_subjects(self, kind: str, texts: Iterable[str]) -> None:
        """Notes what the request was about."""
        for text in texts:
            if len(self.subjects) >= MAX_SUBJECTS:
                self.details["more_subjects"] = int(self.details.get("more_subjects", 0)) + 1
            else:
                self.subjects.append((kind, text))


_trail: ContextVar[Trail | None] = ContextVar("cairn_audit_trail", default=None)


def open_trail() -> Trail:
    """Begins the trail of the running request."""
    trail = Trail()
    _trail.set(trail)
    return trail


def note_access(action: str, collection: str, *, is_change: bool) -> None:
    """Notes what is asked for, allowed or not."""
    trail = _trail.get()
    if trail is None:
        return
    if action not in trail.actions and len(trail.actions) < _MAX_ACTIONS:
        trail.actions.append(action)
    trail.collection = trail.collection or collection
    trail.is_change = trail.is_change or is_change


def note_subjects(kind: str, texts: Iterable[str]) -> None:
    """Notes documents, keys or questions the request is about; kept as keyed hashes alone."""
    trail = _trail.get()
    if trail is not None:
        trail.add_subjects(kind, texts)


def note_detail(name: str, value: str | int) -> None:
    """Notes a fact that is no content, such as a count or the name of a role."""
    trail = _trail.get()
    if trail is not None:
        trail.details[name] = value


def note_outcome(reason: str) -> None:
    """Notes why the request was refused or failed."""
    trail = _trail.get()
    if trail is not None:
        trail.outcome = reason
