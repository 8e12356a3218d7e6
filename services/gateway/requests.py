"""What callers ask for, checked once for every surface."""

from __future__ import annotations

import enum
import functools
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.filters.parser import parse
from services.gateway.texts import check_collection, check_range, check_share, check_text
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from services.filters.ast import Filter
    from services.gateway.passages import Metadata

MAX_QUERY_CHARACTERS = 8_000
MAX_TURNS = 50
MAX_TURN_CHARACTERS = 32_000
MAX_QUERY_PASSAGES = 50
MAX_SEARCH_PASSAGES = 1_000
MAX_RECOMMEND_IDS = 100
MAX_HISTORY_IDS = 500
HISTORY_WEIGHT = 0.3
MAX_ID_CHARACTERS = 512
MAX_TOKENS = 32_768
MAX_TEMPERATURE = 2.0
MAX_DOCUMENTS = 256
MAX_PRINCIPALS = 256
MAX_FILTER_CHARACTERS = 16_384
_REMEMBERED_CHARACTERS = 512
"""Filters up to this length are remembered as they were read."""


class Mode(enum.StrEnum):
    """How passages are looked for."""

    HYBRID = "hybrid"
    DENSE = "dense"
    KEYWORD = "keyword"


class Verification(enum.StrEnum):
    """What is done when sentences are not supported by what they cite."""

    DROP = "drop"
    ANNOTATE = "annotate"
    REFUSE = "refuse"


class Speaker(enum.StrEnum):
    """Who said a turn."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Turn:
    """A former turn of the conversation."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question to answer. Build with `checked`."""

    query: str
    collection: str = "default"
    history: tuple[Turn, ...] = ()
    filter: Filter | None = None
    top_k: int = 5
    mode: Mode = Mode.HYBRID
    rerank: bool = True
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    verification: Verification = Verification.DROP
    explain: bool = False
    bypass_cache: bool = False
    instructions: str = ""
    """Further instructions of the operator, from a system message."""
    min_support: float | None = None
    """Least support of an answer that is copied, as calibrated; None: as the engine is set up."""

    @classmethod
    def checked(
        cls,
        query: str,
        *,
        collection: str = "",
        history: Sequence[Turn] = (),
        filter_text: str = "",
        top_k: int = 0,
        mode: Mode = Mode.HYBRID,
        rerank: bool = True,
        model: str = "",
        max_tokens: int = 0,
        temperature: float | None = None,
        verification: Verification = Verification.DROP,
        explain: bool = False,
        bypass_cache: bool = False,
        instructions: str = "",
        query_limit: int = MAX_QUERY_CHARACTERS,
    ) -> Question:
        """Returns the question; 0 and empty mean the default.

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        check_text("query", query, limit=query_limit, required=True)
        check_text("model", model, limit=128)
        check_text("instructions", instructions, limit=MAX_TURN_CHARACTERS)
        _check_history(history)
        check_range("top_k", top_k, 0, MAX_QUERY_PASSAGES)
        check_range("max_tokens", max_tokens, 0, MAX_TOKENS)
        if temperature is not None and not 0 <= temperature <= MAX_TEMPERATURE:
            raise InvalidArgumentError.for_field(
                "temperature", f"must be between 0 and {MAX_TEMPERATURE:g}"
            )
        return cls(
            query=query,
            collection=check_collection(collection),
            history=tuple(history),
            filter=parse_filter(filter_text),
            top_k=top_k or 5,
            mode=mode,
            rerank=rerank,
            model=model,
            max_tokens=max_tokens or None,
            temperature=temperature,
            verification=verification,
            explain=explain,
            bypass_cache=bypass_cache,
            instructions=instructions,
        )


def _check_history(history: Sequence[Turn]) -> None:
    check_range("history (turns)", len(history), 0, MAX_TURNS)
    for index, turn in enumerate(history):
        check_text(f"history[{index}].text", turn.text, limit=MAX_TURN_CHARACTERS)
    if sum(len(turn.text) for turn in history) > 4 * MAX_TURN_CHARACTERS:
        raise InvalidArgumentError.for_field(
            "history",
            f"has more than {4 * MAX_TURN_CHARACTERS} characters; send the last turns only",
            Reason.TOO_LARGE,
        )


@dataclass(frozen=True, slots=True)
class SearchAsk:
    """Passages to find. Build with `checked`."""

    query: str
    collection: str = "default"
    history: tuple[Turn, ...] = ()
    filter: Filter | None = None
    top_k: int = 10
    mode: Mode = Mode.HYBRID
    rerank: bool = False
    max_per_document: int = 0
    explain: bool = False

    @classmethod
    def checked(
        cls,
        query: str,
        *,
        collection: str = "",
        history: Sequence[Turn] = (),
        filter_text: str = "",
        top_k: int = 0,
        mode: Mode = Mode.HYBRID,
        rerank: bool = False,
        max_per_document: int = 0,
        explain: bool = False,
    ) -> SearchAsk:
        """Returns the search; 0 and empty mean the default.

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        check_text("query", query, limit=MAX_QUERY_CHARACTERS, required=True)
        _check_history(history)
        return cls(
            query=query,
            collection=check_collection(collection),
            history=tuple(history),
            filter=parse_filter(filter_text),
            top_k=check_range("top_k", top_k, 0, MAX_SEARCH_PASSAGES) or 10,
            mode=mode,
            rerank=rerank,
            max_per_document=check_range(
                "max_per_document", max_per_document, 0, MAX_SEARCH_PASSAGES
            ),
            explain=explain,
        )


@dataclass(frozen=True, slots=True)
class RecommendAsk:
    """Documents to find by their likeness to others. Build with `checked`."""

    collection: str
    positive_ids: tuple[str, ...]
    negative_ids: tuple[str, ...] = ()
    filter: Filter | None = None
    top_k: int = 10
    liked_ids: tuple[str, ...] = ()
    """Documents a person liked before: candidates are ordered by their likeness to them."""
    disliked_ids: tuple[str, ...] = ()
    history_weight: float = HISTORY_WEIGHT
    """Share of the history in the order, 0..1."""
    diversity: float = 0.0
    """Variety against relevance, 0..1."""
    candidates: int = 0
    """Documents that are put in a new order; 0: the default."""

    @property
    def has_history(self) -> bool:
        """Whether there is something to put candidates in a new order by."""
        return bool(self.liked_ids or self.disliked_ids)

    @classmethod
    def checked(
        cls,
        *,
        collection: str = "",
        positive_ids: Sequence[str] = (),
        negative_ids: Sequence[str] = (),
        filter_text: str = "",
        top_k: int = 0,
        liked_ids: Sequence[str] = (),
        disliked_ids: Sequence[str] = (),
        history_weight: float | None = None,
        diversity: float = 0.0,
        candidates: int = 0,
    ) -> RecommendAsk:
        """Returns the request; 0 and empty mean the default.

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        if not positive_ids and not liked_ids:
            raise InvalidArgumentError.for_field(
                "positive_ids", "name at least one document here or in liked_ids"
            )
        for name, ids, most in (
            ("positive_ids", positive_ids, MAX_RECOMMEND_IDS),
            ("negative_ids", negative_ids, MAX_RECOMMEND_IDS),
            # Without a document to start from, candidates are looked for by the liked ones.
            ("liked_ids", liked_ids, MAX_HISTORY_IDS if positive_ids else MAX_RECOMMEND_IDS),
            ("disliked_ids", disliked_ids, MAX_HISTORY_IDS),
        ):
            check_range(f"{name} (entries)", len(ids), 0, most)
            for index, document_id in enumerate(ids):
                check_document_id(document_id, f"{name}[{index}]")
        return cls(
            collection=check_collection(collection),
            positive_ids=tuple(positive_ids),
            negative_ids=tuple(negative_ids),
            filter=parse_filter(filter_text),
            top_k=check_range("top_k", top_k, 0, MAX_SEARCH_PASSAGES) or 10,
            liked_ids=tuple(liked_ids),
            disliked_ids=tuple(disliked_ids),
            history_weight=check_share(
                "history_weight", HISTORY_WEIGHT if history_weight is None else history_weight
            ),
            diversity=check_share("diversity", diversity),
            candidates=check_range("candidates", candidates, 0, MAX_SEARCH_PASSAGES),
        )


class UploadedFile(Protocol):
    """A file that was sent and lies on disk."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Yields its bytes, from the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to take in."""

    content: bytes
    document_id: str = ""
    uri: str = ""
    title: str = ""
    content_type: str = ""
    file_name: str = ""
    metadata: Metadata = field(default_factory=dict)
    acl: tuple[str, ...] = ()
    idempotency_key: str = ""
    file: UploadedFile | None = None
    """Where its bytes are when they are too many for memory; `content` is empty then."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return len(self.content) if self.file is None else self.file.size_bytes

    def check(self, path: str) -> None:
        """Passes a document that ingestion may judge.

        Args:
            path: Its place in the request, such as "documents[3]".

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        self.check_header(path)
        if not self.size_bytes:
            raise InvalidArgumentError.for_field(
                f"{path}.content", "must not be empty", Reason.EMPTY_TEXT
            )

    def check_header(self, path: str) -> None:
        """Passes a document whose bytes are still to come.

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        check_text(f"{path}.document_id", self.document_id, limit=MAX_ID_CHARACTERS)
        check_text(f"{path}.uri", self.uri, limit=2_048)
        check_text(f"{path}.title", self.title, limit=1_024)
        check_text(f"{path}.content_type", self.content_type, limit=256)
        check_text(f"{path}.file_name", self.file_name, limit=1_024)
        check_text(f"{path}.idempotency_key", self.idempotency_key, limit=256)
        check_range(f"{path}.acl (entries)", len(self.acl), 0, MAX_PRINCIPALS)
        for index, principal in enumerate(self.acl):
            check_text(f"{path}.acl[{index}]", principal, limit=256, required=True)
        for name, value in self.metadata.items():
            check_text(f"{path}.metadata", name, limit=128, required=True)
            for text in value if isinstance(value, frozenset) else (value,):
                if isinstance(text, str):
                    check_text(f"{path}.metadata.{name}", text, limit=8_192)
            if isinstance(value, float) and not math.isfinite(value):
                raise InvalidArgumentError.for_field(f"{path}.metadata.{name}", "must be finite")


def check_document_id(document_id: str, path: str = "document_id") -> str:
    """Returns the identifier when it is one.

    Raises:
        InvalidArgumentError: it is empty, too long or not plain text.
    """
    return check_text(path, document_id, limit=MAX_ID_CHARACTERS, required=True)


def parse_filter(text: str) -> Filter | None:
    """Returns the condition that `text` states, or None for white space.

    Raises:
        InvalidArgumentError: INVALID_FILTER with the position of the first wrong character.
    """
    check_text("filter", text, limit=MAX_FILTER_CHARACTERS)
    if not text.strip():
        return None
    return _remembered_filter(text) if len(text) <= _REMEMBERED_CHARACTERS else parse(text)


@functools.lru_cache(maxsize=1024)
def _remembered_filter(text: str) -> Filter:
    """Reads a filter once: callers ask with the same ones again and again. Trees do not change."""
    return parse(text)
