"""Requests to domain values, checked field by field; nothing malformed gets past here."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2

from services.filters.proto import from_proto as filter_from_proto
from services.retrieval import checks, limits, vectors_proto
from services.retrieval.history import DEFAULT_CANDIDATES, History
from services.retrieval.queries import (
    FusionMethod,
    Query,
    RecallClass,
    SearchMode,
    SearchOptions,
)
from services.retrieval.vectors import unit
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.filters.ast import Filter

_REMEMBERED_BYTES = 4096
"""Options up to this size are remembered as they were read."""


def document_ids(ids: Sequence[str], path: str, *, is_required: bool = True) -> list[str]:
    """Returns document ids, each once, in their order."""
    if is_required and not ids:
        raise InvalidArgumentError.for_field(path, "must hold at least one id")
    checks.size(len(ids), limits.MAX_IDS, path, "ids")
    return [
        checks.text(each, f"{path}[{i}]", limits.MAX_DOCUMENT_ID_CHARACTERS, is_required=True)
        for i, each in enumerate(dict.fromkeys(ids))
    ]


def history(message: pb.History) -> History:
    """Returns what a person liked before."""
    most = limits.MAX_TOP_K
    return History(
        tuple(document_ids(message.liked_ids, "history.liked_ids", is_required=False)),
        tuple(document_ids(message.disliked_ids, "history.disliked_ids", is_required=False)),
        checks.share(message.weight, "history.weight"),
        checks.number(message.candidates, "history.candidates", 1, most, DEFAULT_CANDIDATES),
    )


def optional_filter(message: metadata_pb2.Filter, path: str, *, is_set: bool) -> Filter | None:
    """Returns the filter, or None when it is not set."""
    return filter_from_proto(message, path) if is_set else None


def search_options(message: pb.SearchOptions, mode: SearchMode) -> SearchOptions:
    """Returns how to search, in a mode already decided."""
    serialised = message.SerializeToString()
    if len(serialised) > _REMEMBERED_BYTES or message.min_seq:
        return _search_options(message, mode)
    return _remembered_options(serialised, mode)


@functools.lru_cache(maxsize=1024)
def _remembered_options(serialised: bytes, mode: SearchMode) -> SearchOptions:
    """Reads options once: callers use the same ones again and again."""
    return _search_options(pb.SearchOptions.FromString(serialised), mode)


def _search_options(message: pb.SearchOptions, mode: SearchMode) -> SearchOptions:
    path = "options"
    if message.min_seq < 0:
        raise InvalidArgumentError.for_field(f"{path}.min_seq", "must not be negative")
    threshold = None
    if message.HasField("score_threshold"):
        threshold = checks.finite(message.score_threshold, f"{path}.score_threshold")
    tree = optional_filter(message.filter, f"{path}.filter", is_set=message.HasField("filter"))
    top_k = checks.number(message.top_k, f"{path}.top_k", 1, limits.MAX_TOP_K, limits.DEFAULT_TOP_K)
    _check_grouping(message, top_k)
    return SearchOptions(
        mode=mode,
        top_k=top_k,
        filter=tree,
        filter_key="" if tree is None else repr(tree),
        recall=checks.choice(
            RecallClass, message.recall_class, f"{path}.recall_class", RecallClass.HIGH
        ),
        score_threshold=threshold,
        max_per_document=checks.number(
            message.max_per_document, f"{path}.max_per_document", 1, limits.MAX_TOP_K, 0
        ),
        diversity=checks.share(message.diversity.strength, f"{path}.diversity.strength"),
        min_seq=message.min_seq,
        include_metadata=message.include_metadata,
        omit_text=message.omit_text,
        include_vectors=message.include_vectors,
        token_codes_top_k=checks.number(
            message.token_codes_top_k, f"{path}.token_codes_top_k", 1, limits.MAX_TOKEN_CODES, 0
        ),
        group_size=message.group_size,
        **_fusion(message.fusion, f"{path}.fusion"),
    )


def _fusion(message: pb.Fusion, path: str) -> dict[str, Any]:
    weight = 0.5
    if message.HasField("dense_weight"):
        weight = checks.share(message.dense_weight, f"{path}.dense_weight")
    return {
        "fusion": checks.choice(
            FusionMethod, message.method, f"{path}.method", FusionMethod.Z_SCORE
        ),
        "dense_weight": weight,
        "candidates": checks.number(
            message.candidates,
            f"{path}.candidates",
            1,
            limits.MAX_CANDIDATES,
            limits.DEFAULT_CANDIDATES,
        ),
        "rank_constant": checks.number(
            message.rank_constant, f"{path}.rank_constant", 1, limits.MAX_RANK_CONSTANT, 60
        ),
    }


def _check_grouping(message: pb.SearchOptions, top_k: int) -> None:
    path = "options.group_size"
    size = checks.number(message.group_size, path, 1, limits.MAX_TOP_K, 0)
    if size and message.max_per_document:
        raise InvalidArgumentError.for_field(path, "give either group_size or max_per_document")
    if size and message.diversity.strength:
        raise InvalidArgumentError.for_field(path, "groups cannot be diversified: leave one out")
    checks.size(top_k * max(1, size), limits.MAX_GROUPED, path, "passages in all groups")


def search_mode(messages: Sequence[pb.Query], options: pb.SearchOptions) -> SearchMode:
    """Returns the mode asked for, or that the first query calls for."""
    first = messages[0]
    has_text, has_vector = bool(first.text.strip()), first.HasField("vector")
    default = SearchMode.HYBRID
    if not (has_text and has_vector):
        default = SearchMode.DENSE if has_vector else SearchMode.KEYWORD
    return checks.choice(SearchMode, options.mode, "options.mode", default)


def queries(messages: Sequence[pb.Query], mode: SearchMode, path: str) -> list[Query]:
    """Returns what to look for, with what the mode needs.

    Args:
        messages: The queries.
        mode: Way of searching.
        path: Place of a query in the request, with `{index}`.
    """
    texts: list[tuple[tuple[str, float], ...]] = [()] * len(messages)
    if mode is not SearchMode.DENSE:
        texts = [_texts(each, path.format(index=i)) for i, each in enumerate(messages)]
    vectors: Sequence[NDArray[np.float32] | None] = [None] * len(messages)
    if mode is not SearchMode.KEYWORD:
        plain = _plain_vectors(messages)
        vectors = (
            plain
            if plain is not None
            else [_mixed_vector(each, path.format(index=i)) for i, each in enumerate(messages)]
        )
    return [Query(text, vector) for text, vector in zip(texts, vectors, strict=True)]


def _plain_vectors(messages: Sequence[pb.Query]) -> Sequence[NDArray[np.float32]] | None:
    """Returns the unit vectors of queries that have one float32 vector each, read all at once.

    None when there is anything else: then each is looked at by itself, and what is wrong is said.
    """
    if len(messages) == 1:
        found = _plain_vector(messages[0])
        return None if found is None else [found]
    parts = []
    dimensions = messages[0].vector.dimensions
    for message in messages:
        vector = message.vector
        if (
            vector.element_type not in vectors_proto.FLOAT32
            or vector.dimensions != dimensions
            or len(vector.data) != 4 * dimensions
            or message.mixed_vectors
        ):
            return None
        parts.append(vector.data)
    if not 1 <= dimensions <= limits.MAX_DIMENSIONS:
        return None
    wide = np.frombuffer(b"".join(parts), "<f4").reshape(len(parts), dimensions).astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    # NaN and infinities make a length that is not finite; double precision does not overflow here.
    if not np.isfinite(lengths).all() or not lengths.all():
        return None
    wide /= lengths[:, None]
    return list(wide.astype(np.float32))


def _plain_vector(message: pb.Query) -> NDArray[np.float32] | None:
    """Returns what `_plain_vectors` does for one query, in a third of the time."""
    vector = message.vector
    dimensions = vector.dimensions
    if (
        vector.element_type not in vectors_proto.FLOAT32
        or not 1 <= dimensions <= limits.MAX_DIMENSIONS
        or len(vector.data) != 4 * dimensions
        or message.mixed_vectors
    ):
        return None
    wide = np.frombuffer(vector.data, "<f4").astype(np.float64)
    length = math.sqrt(wide.dot(wide))
    if not math.isfinite(length) or not length:
        return None
    wide /= length
    return wide.astype(np.float32)


def page_size(value: int) -> int:
    """Returns the number of entries of a page."""
    return checks.number(value, "page_size", 1, limits.MAX_PAGE_SIZE, limits.DEFAULT_PAGE_SIZE)


def _texts(message: pb.Query, path: str) -> tuple[tuple[str, float], ...]:
    checks.size(len(message.text), limits.MAX_QUERY_CHARACTERS, f"{path}.text", "characters")
    if not message.text.strip():
        raise InvalidArgumentError.for_field(
            f"{path}.text", "is empty: keyword and hybrid search need words", Reason.EMPTY_TEXT
        )
    mixed = message.mixed_texts
    weights = _weights([each.weight for each in mixed], f"{path}.mixed_texts")
    for index, each in enumerate(mixed):
        at = f"{path}.mixed_texts[{index}].text"
        checks.size(len(each.text), limits.MAX_QUERY_CHARACTERS, at, "characters")
    pairs = zip((each.text for each in mixed), weights, strict=True)
    return ((message.text, 1.0 - sum(weights)), *pairs)


def _mixed_vector(message: pb.Query, path: str) -> NDArray[np.float32]:
    if not message.HasField("vector"):
        raise InvalidArgumentError.for_field(
            f"{path}.vector", "is missing: dense and hybrid search need one"
        )
    first = unit(vectors_proto.from_message(message.vector, f"{path}.vector"))
    mixed = message.mixed_vectors
    weights = _weights([each.weight for each in mixed], f"{path}.mixed_vectors")
    total = first * (1.0 - sum(weights))
    for index, (each, weight) in enumerate(zip(mixed, weights, strict=True)):
        at = f"{path}.mixed_vectors[{index}].vector"
        further = unit(vectors_proto.from_message(each.vector, at))
        if len(further) != len(first):
            raise InvalidArgumentError.for_field(
                at, f"has {len(further)} dimensions, not {len(first)}", Reason.DIMENSION_MISMATCH
            )
        total = total + weight * further
    return total.astype("float32")


def _weights(weights: Sequence[float], path: str) -> list[float]:
    checks.size(len(weights), limits.MAX_MIXED, path, "entries")
    for index, weight in enumerate(weights):
        checks.share(weight, f"{path}[{index}].weight")
    # Single precision on the wire: ten times 0.1 is a little more than 1.
    if sum(weights) > 1 + 1e-5:
        raise InvalidArgumentError.for_field(path, "the weights add up to more than 1")
    scale = min(1.0, 1.0 / sum(weights)) if any(weights) else 1.0
    return [weight * scale for weight in weights]
