"""Texts kept once each, under the number of their order: ids, words, keywords, principals.

The newest lie in a list and a dictionary; older ones in immutable parts of three arrays, which cost
some twenty bytes a text beside its letters instead of two hundred, and can be mapped from a file.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.view.arrays import resident

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ABSENT = -1
_REMEMBERED = 65_536
"""Codes of sealed texts kept in the dictionary beside the new ones; then they are forgotten."""
_BYTES_PER_ENTRY = 190
"""Of a text in a list and a dictionary, beside its letters."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """Texts with consecutive codes."""

    first: int
    """Code of the first one."""
    blob: NDArray[np.uint8]
    """All texts in UTF-8, one after the other."""
    offsets: NDArray[np.int64]
    """Where each begins in the blob; one more than there are texts."""
    hashes: NDArray[np.uint64]
    """Hashes of the texts, ascending."""
    order: NDArray[np.int32]
    """Place in the part of the text of each hash."""

    @property
    def last(self) -> int:
        """Code after the last one."""
        return self.first + len(self.order)

    def raw(self, code: int) -> bytes:
        """Returns a text in UTF-8."""
        place = code - self.first
        return self.blob[int(self.offsets[place]) : int(self.offsets[place + 1])].tobytes()

    def find(self, texts: Sequence[bytes], hashes: NDArray[np.uint64]) -> list[int]:
        """Returns the code of each text, ABSENT where it is not here."""
        places = self.hashes.searchsorted(hashes)
        inside = np.minimum(places, len(self.hashes) - 1)
        found = [ABSENT] * len(texts)
        if not len(self.hashes):
            return found
        hits = np.flatnonzero(self.hashes[inside] == hashes)
        for hit in hits.tolist():
            place = int(places[hit])
            # Different texts may have one hash: the next places have the others.
            while place < len(self.hashes) and self.hashes[place] == hashes[hit]:
                code = self.first + int(self.order[place])
                if self.raw(code) == texts[hit]:
                    found[hit] = code
                    break
                place += 1
        return found

    def raw_all(self) -> list[bytes]:
        """Returns all texts in UTF-8, in the order of their codes."""
        blob = self.blob.tobytes()
        ends = self.offsets.tolist()
        return [blob[first:last] for first, last in itertools.pairwise(ends)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns what is to be saved."""
        return {
            "blob": self.blob,
            "offsets": self.offsets,
            "hashes": self.hashes,
            "order": self.order,
        }

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(resident(each) for each in self.arrays().values())


@dataclass(frozen=True, slots=True)
class _State:
    """What readers take hold of: sealed parts, and the texts after them."""

    parts: tuple[TextPart, ...]
    first: int
    """Code of the first text of the tail."""
    tail: list[str]
    codes: dict[str, int]
    """Codes of the tail's texts, and of sealed ones that were looked up by the writer."""


class TextTable:
    """Texts and their codes. One thread adds, any thread reads.

    Args:
        parts: Sealed texts to begin with.
    """

    __slots__ = ("_state", "_tail_bytes")

    def __init__(self, parts: Sequence[TextPart] = ()) -> None:
        self._state = _State(tuple(parts), parts[-1].last if parts else 0, [], {})
        self._tail_bytes = 0

    @property
    def size(self) -> int:
        """Texts in the table."""
        state = self._state
        return state.first + len(state.tail)

    @property
    def tail_size(self) -> int:
        """Texts that are not in a sealed part."""
        return len(self._state.tail)

    @property
    def parts(self) -> tuple[TextPart, ...]:
        """The sealed parts."""
        return self._state.parts

    def intern(self, text: str) -> int:
        """Returns the code of a text, a new one if it is new."""
        code = self._state.codes.get(text)
        return self.intern_all((text,))[0] if code is None else code

    def intern_all(self, texts: Sequence[str]) -> list[int]:
        """Returns the code of each text; new ones get the next codes."""
        state = self._state
        known = state.codes
        codes = [known.get(text, ABSENT) for text in texts]
        if ABSENT not in codes:
            return codes
        missing = dict.fromkeys(
            text for text, code in zip(texts, codes, strict=True) if code == ABSENT
        )
        if state.parts:
            if len(known) > _REMEMBERED + len(state.tail):
                self._forget_sealed()
                state = self._state
            for text, code in _find(state.parts, list(missing)).items():
                state.codes[text] = code
                del missing[text]
        size = state.first + len(state.tail)
        for code, text in enumerate(missing, size):
            state.codes[text] = code
            self._tail_bytes += len(text)
        state.tail.extend(missing)
        return [state.codes[text] for text in texts]

    def code(self, text: str) -> int:
        """Returns the code of a text, or ABSENT."""
        state = self._state
        code = state.codes.get(text)
        if code is not None:
            return code
        return _find(state.parts, [text]).get(text, ABSENT) if state.parts else ABSENT

    def codes(self, texts: Sequence[str]) -> list[int]:
        """Returns the code of each text, ABSENT where there is none."""
        state = self._state
        found = [state.codes.get(text, ABSENT) for text in texts]
        missing = [text for text, code in zip(texts, found, strict=True) if code == ABSENT]
        if not missing or not state.parts:
            return found
        sealed = _find(state.parts, missing)
        return [
            sealed.get(text, ABSENT) if code == ABSENT else code
            for text, code in zip(texts, found, strict=True)
        ]

    def text(self, code: int) -> str:
        """Returns the text of a code."""
        state = self._state
        if code >= state.first:
            return state.tail[code - state.first]
        for part in state.parts:
            if code < part.last:
                return _decode(part.raw(code))
        raise IndexError(code)

    def texts(self, codes: Iterable[int]) -> list[str]:
        """Returns the texts of codes."""
        state = self._state
        if len(state.parts) == 1:
            sealed, first = state.parts[0], state.first
            return [
                state.tail[code - first] if code >= first else _decode(sealed.raw(code))
                for code in codes
            ]
        return [self.text(code) for code in codes]

    def all(self) -> list[str]:
        """Returns all texts, each at its code."""
        state = self._state
        sealed = [_decode(raw) for part in state.parts for raw in part.raw_all()]
        return sealed + list(state.tail)

    def seal(self) -> None:
        """Moves the newest texts into a part; the caller keeps other writers out."""
        state = self._state
        if not state.tail:
            return
        part = make_part(state.first, [_encode(text) for text in state.tail])
        self._state = _State((*state.parts, part), part.last, [], {})
        self._tail_bytes = 0

    def adopt(self, merged: TextPart) -> None:
        """Replaces the parts that `merged` was made of; the caller keeps other writers out."""
        state = self._state
        later = tuple(part for part in state.parts if part.first >= merged.last)
        self._state = _State((merged, *later), state.first, state.tail, state.codes)

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        state = self._state
        sealed = sum(part.nbytes for part in state.parts)
        return sealed + self._tail_bytes + len(state.codes) * _BYTES_PER_ENTRY

    def _forget_sealed(self) -> None:
        state = self._state
        codes = {text: state.first + place for place, text in enumerate(state.tail)}
        self._state = _State(state.parts, state.first, state.tail, codes)


def make_part(first: int, texts: Sequence[bytes]) -> TextPart:
    """Returns a part of texts, all different, whose codes begin at `first`."""
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
    hashes = hash_all(texts)
    order = np.argsort(hashes, kind="stable").astype(np.int32)
    return TextPart(first, np.frombuffer(b"".join(texts), np.uint8), offsets, hashes[order], order)


def merge_parts(parts: Sequence[TextPart]) -> TextPart:
    """Returns one part with the texts of consecutive ones."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0].first
    lengths = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    hashes = np.concatenate([part.hashes for part in parts])
    places = np.concatenate([part.order + (part.first - first) for part in parts])
    order = np.argsort(hashes, kind="stable")
    return TextPart(
        first,
        np.concatenate([part.blob for part in parts]),
        offsets,
        hashes[order],
        places[order].astype(np.int32),
    )


def load_part(arrays: Mapping[str, NDArray[Any]]) -> TextPart:
    """Returns the part that `arrays` gave, the first of its table."""
    return TextPart(0, arrays["blob"], arrays["offsets"], arrays["hashes"], arrays["order"])


def hash_all(texts: Sequence[bytes]) -> NDArray[np.uint64]:
    """Returns 64 bits for each text, the same in every process.

    A hash that cannot be steered: ids and words come from callers.
    """
    digest = hashlib.blake2b
    joined = b"".join([digest(text, digest_size=8).digest() for text in texts])
    return np.frombuffer(joined, "<u8")


def _find(parts: Sequence[TextPart], texts: Sequence[str]) -> dict[str, int]:
    raw = [_encode(text) for text in texts]
    hashes = hash_all(raw)
    found: dict[str, int] = {}
    for part in parts:
        codes = part.find(raw, hashes)
        found |= {text: code for text, code in zip(texts, codes, strict=True) if code != ABSENT}
    return found


def _encode(text: str) -> bytes:
    # Half of a surrogate pair is no valid text, yet must not end a view.
    return text.encode("utf-8", "surrogatepass")


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")
