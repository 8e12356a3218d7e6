"""A Milvus server, or Milvus Lite in a file: the only module that knows its client."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.retrieval.collections import IndexType
from services.retrieval.queries import RecallClass
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    DeadlineExceededError,
    Reason,
    ServiceError,
    StartupError,
    UnavailableError,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.retrieval.collections import Collection

_TIMEOUT_SECONDS = 30.0
_ROWS_PER_PAGE = 1000
_LINKS, _BUILD_EFFORT = 32, 100
_LISTS = 1024
_EFFORT = {RecallClass.EXACT: 512, RecallClass.HIGH: 128, RecallClass.FAST: 48}
_PROBES = {RecallClass.EXACT: 256, RecallClass.HIGH: 64, RecallClass.FAST: 16}
MAX_RESULTS = 16_384
"""Milvus returns no more for one query."""
_OUTPUT = ["document", "version", "ordinal"]


@dataclass(frozen=True, slots=True)
class Found:
    """A row that Milvus found."""

    document_id: str
    version: int
    ordinal: int
    score: float
    vector: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A document that Milvus holds in some version."""

    document_id: str
    version: int
    chunk_count: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One search in one field."""

    condition: str
    limit: int
    recall: RecallClass = RecallClass.HIGH
    index_type: IndexType = IndexType.AUTO
    per_document: int = 0
    """Rows of one document at most; 0: no limit."""
    with_vectors: bool = False
    is_strong: bool = False
    """Whether every write of any client must be seen."""


class Server:
    """Blocking calls, for threads.

    Args:
        uri: `http://host:19530`, or a file for Milvus Lite.
        token: `user:password` or an API key; empty: none.
        prefix: First part of the names of this installation's collections.

    Raises:
        StartupError: pymilvus is not installed, or there is no server.
    """

    def __init__(self, uri: str, token: str = "", prefix: str = "cairn") -> None:
        self._milvus = _import()
        self._is_lite = "://" not in uri
        self._prefix = prefix
        self._positions = f"{prefix}_positions"
        try:
            self._client: Any = self._milvus.MilvusClient(uri, token=token)
            self.version = str(self._client.get_server_version())
            self._ensure_positions()
        except self._milvus.MilvusException as error:
            raise StartupError(f"Milvus does not answer (code {error.code})") from error

    def close(self) -> None:
        """Disconnects."""
        self._client.close()

    def name_of(self, collection: Collection) -> str:
        """Returns the name of a collection in Milvus: no other one ever has it."""
        return f"{self._prefix}_{collection.id}_{collection.created_micros}"

    def create(self, collection: Collection) -> None:
        """Creates a collection's rows and indexes anew; what is left of an attempt goes."""
        name = self.name_of(collection)
        if self._call("has_collection", name):
            self._call("drop_collection", name)
        schema = self._schema(collection.settings.dimensions)
        self._call("create_collection", name, schema=schema, consistency_level="Session")
        # Waiting for indexes over no rows would cost half a second each.
        self._call("create_index", name, self._indexes(collection), sync=False)
        self._call("load_collection", name)

    def drop(self, collection: Collection) -> None:
        """Removes a collection with its position."""
        name = self.name_of(collection)
        self._call("delete", self._positions, filter=f'name == "{name}"')
        self._call("drop_collection", name)

    def position(self, collection: Collection) -> int:
        """Returns up to which write the rows are current; -1: there are none."""
        name = self.name_of(collection)
        found = self._call(
            "query",
            self._positions,
            filter=f'name == "{name}"',
            output_fields=["seq"],
            consistency_level="Strong",
        )
        is_there = bool(found) and self._call("has_collection", name)
        return int(found[0]["seq"]) if is_there else -1

    def set_position(self, collection: Collection, seq: int) -> None:
        """Notes up to which write the rows are current."""
        row = {"name": self.name_of(collection), "seq": seq, "unused": [0.0, 0.0]}
        self._call("upsert", self._positions, [row])

    def write(self, collection: Collection, rows: Sequence[dict[str, Any]]) -> None:
        """Inserts rows, or replaces those of the same key."""
        if rows:
            self._call("upsert", self.name_of(collection), list(rows))

    def remove(self, collection: Collection, condition: str) -> None:
        """Deletes the rows for which a condition holds."""
        self._call("delete", self.name_of(collection), filter=condition)

    def near(
        self, collection: Collection, vectors: NDArray[np.float32], ask: Ask
    ) -> list[list[Found]]:
        """Returns for each vector the rows of greatest inner product, best first."""
        params = _search_params(ask)
        return self._search(collection, "vector", list(vectors), ask, {"params": params})

    def with_words(
        self, collection: Collection, texts: Sequence[str], ask: Ask
    ) -> list[list[Found]]:
        """Returns for each text of encoded words the rows of greatest BM25 score, best first."""
        return self._search(collection, "bm25", list(texts), ask, {})

    def count(self, collection: Collection, condition: str) -> int:
        """Returns the number of rows for which a condition holds."""
        found = self._call(
            "query",
            self.name_of(collection),
            filter=condition,
            output_fields=["count(*)"],
            consistency_level="Strong",
        )
        return int(found[0]["count(*)"])

    def documents(self, collection: Collection, condition: str) -> Iterator[Held]:
        """Yields the documents of rows for which a condition holds."""
        fields = ["document", "version", "chunk_count"]
        for row in self._pages(collection, condition, fields):
            yield Held(row["document"], row["version"], row["chunk_count"])

    def vectors(self, collection: Collection, condition: str) -> Iterator[Found]:
        """Yields rows with their vectors for which a condition holds."""
        for row in self._pages(collection, condition, [*_OUTPUT, "vector"]):
            vector = tuple(row["vector"])
            yield Found(row["document"], row["version"], row["ordinal"], 0.0, vector)

    def _pages(
        self, collection: Collection, condition: str, fields: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        pages = self._call(
            "query_iterator",
            self.name_of(collection),
            batch_size=_ROWS_PER_PAGE,
            filter=condition,
            output_fields=list(fields),
            consistency_level="Strong",
        )
        try:
            while page := self._guarded(pages.next):
                yield from page
        finally:
            pages.close()

    def _search(
        self, collection: Collection, field: str, data: list[Any], ask: Ask, params: dict[str, Any]
    ) -> list[list[Found]]:
        more: dict[str, Any] = {}
        if ask.per_document:
            more = {"group_by_field": "document_key", "group_size": ask.per_document}
        if ask.is_strong:
            more["consistency_level"] = "Strong"
        answers = self._call(
            "search",
            self.name_of(collection),
            data=data,
            anns_field=field,
            filter=ask.condition,
            limit=min(ask.limit, MAX_RESULTS),
            output_fields=[*_OUTPUT, "vector"] if ask.with_vectors else _OUTPUT,
            search_params=params,
            **more,
        )
        return [_found(answer, is_bm25=field == "bm25") for answer in answers]

    def _call(self, method: str, *arguments: Any, **more: Any) -> Any:
        remaining = remaining_seconds()
        wait = _TIMEOUT_SECONDS if remaining is None else min(_TIMEOUT_SECONDS, remaining)
        if wait <= 0:
            raise _too_late()
        return self._guarded(
            lambda: getattr(self._client, method)(*arguments, timeout=wait, **more)
        )

    def _guarded(self, work: Any) -> Any:
        try:
            return work()
        except self._milvus.MilvusException as error:
            raise _failure(error) from error
        except ServiceError:
            raise
        except Exception as error:
            if type(error).__module__.split(".")[0] != "grpc":
                raise
            raise _failure(error) from error

    def _ensure_positions(self) -> None:
        if self._client.has_collection(self._positions):
            return
        types = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("name", types.VARCHAR, is_primary=True, max_length=256)
        schema.add_field("seq", types.INT64)
        # Milvus has no collection without a vector.
        schema.add_field("unused", types.FLOAT_VECTOR, dim=2)
        indexes = self._client.prepare_index_params()
        indexes.add_index("unused", index_type="FLAT", metric_type="IP")
        self._client.create_collection(self._positions, schema=schema, index_params=indexes)

    def _schema(self, dimensions: int) -> Any:
        types = self._milvus.DataType
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("pk", types.VARCHAR, is_primary=True, max_length=72)
        schema.add_field("document", types.VARCHAR, max_length=2048)
        schema.add_field("document_key", types.VARCHAR, max_length=32)
        schema.add_field("version", types.INT64)
        schema.add_field("ordinal", types.INT64)
        schema.add_field("chunk_count", types.INT64)
        schema.add_field("expires", types.INT64)
        schema.add_field(
            "marks",
            types.ARRAY,
            element_type=types.VARCHAR,
            max_capacity=4096,
            max_length=32,
        )
        schema.add_field("keys", types.JSON)
        schema.add_field("words", types.VARCHAR, max_length=65_535, enable_analyzer=True)
        schema.add_field("vector", types.FLOAT_VECTOR, dim=dimensions)
        schema.add_field("bm25", types.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            self._milvus.Function(
                name="bm25",
                function_type=self._milvus.FunctionType.BM25,
                input_field_names=["words"],
                output_field_names=["bm25"],
            )
        )
        return schema

    def _indexes(self, collection: Collection) -> Any:
        indexes = self._client.prepare_index_params()
        kind, params = _index(collection.settings.index_type)
        indexes.add_index("vector", index_type=kind, metric_type="IP", params=params)
        indexes.add_index(
            "bm25",
            index_type="SPARSE_INVERTED_INDEX",
            metric_type="BM25",
            params={"bm25_k1": 1.2, "bm25_b": 0.75},
        )
        indexes.add_index("document_key", index_type="INVERTED")
        if not self._is_lite:
            indexes.add_index("marks", index_type="INVERTED")
        return indexes


def index_name(kind: IndexType) -> str:
    """Returns Milvus' name of the index that stands for a kind."""
    return _index(kind)[0].lower()


def _index(kind: IndexType) -> tuple[str, dict[str, int]]:
    """Returns Milvus' name and parameters for an index."""
    graph = {"M": _LINKS, "efConstruction": _BUILD_EFFORT}
    lists = {"nlist": _LISTS}
    return {
        IndexType.FLAT: ("FLAT", {}),
        IndexType.HNSW_SQ8: ("HNSW_SQ", graph | {"sq_type": "SQ8", "refine": True}),
        IndexType.IVF_FLAT: ("IVF_FLAT", lists),
        IndexType.IVF_SQ8: ("IVF_SQ8", lists),
        IndexType.IVF_PQ: ("IVF_PQ", lists | {"m": 48, "nbits": 8}),
        IndexType.RABITQ: ("IVF_RABITQ", lists | {"refine": True}),
    }.get(kind, ("HNSW", graph))  # pyright: ignore[reportReturnType]


def _search_params(ask: Ask) -> dict[str, int]:
    if ask.index_type is IndexType.FLAT:
        return {}
    if ask.index_type in {IndexType.AUTO, IndexType.HNSW, IndexType.HNSW_SQ8}:
        return {"ef": max(_EFFORT[ask.recall], ask.limit)}
    return {"nprobe": _PROBES[ask.recall]}


def _found(answer: Any, *, is_bm25: bool) -> list[Found]:
    found = []
    for hit in answer:
        entity = hit["entity"]
        score = float(hit["distance"])
        found.append(
            Found(
                entity["document"],
                int(entity["version"]),
                int(entity["ordinal"]),
                # Milvus Lite returns BM25 scores as negative distances.
                abs(score) if is_bm25 else score,
                tuple(entity.get("vector", ())),
            )
        )
    return found


def _import() -> Any:
    try:
        import pymilvus  # noqa: PLC0415 - an extra, and seconds of imports
    except ImportError as error:
        raise StartupError(
            "the Milvus backend needs the extra: pip install 'cairn-rag[milvus]'"
        ) from error
    # Its log repeats requests, and with them what people asked for.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    return pymilvus


def _failure(error: Exception) -> ServiceError:
    """Returns what callers are told; Milvus' own words may hold parts of the request."""
    code = getattr(error, "code", 0)
    if "DEADLINE" in str(code).upper() or "deadline" in str(error).lower():
        return _too_late()
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "Milvus did not do what it was asked",
        metadata={"milvus_code": str(code)},
        retry_after_seconds=1.0,
    )


def _too_late() -> DeadlineExceededError:
    return DeadlineExceededError(
        Reason.DEADLINE_EXCEEDED, "Milvus did not answer in time", metadata={"stage": "milvus"}
    )
