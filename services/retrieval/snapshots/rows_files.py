"""The rows of a view as arrays by name, and rows from such arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from services.filters.values import FieldType
from services.retrieval.keyword.index import KeywordIndex
from services.retrieval.store.checksum import Checksum
from services.retrieval.view import postings, texts
from services.retrieval.view.arrays import GrowingArray
from services.retrieval.view.columns import KeywordColumn, NumberColumn, TagsColumn
from services.retrieval.view.memtable import Memtable
from services.retrieval.view.postings import Postings
from services.retrieval.view.rows import Rows
from services.retrieval.view.texts import TextTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.view.columns import Column
    from services.retrieval.view.postings import PostingPart
    from services.retrieval.view.rows import Snapshot
    from services.retrieval.view.texts import TextPart

    Read = Callable[[str], NDArray[Any]]

_IN_MEMORY = ("newest", "live", "live_chunks")
"""Arrays that are written in place: they are never mapped."""


@dataclass(slots=True)
class Frozen:
    """The rows of one state, which later writes do not change."""

    arrays: dict[str, NDArray[Any]]
    tables: dict[str, tuple[TextTable, tuple[TextPart, ...]]]
    lists: dict[str, tuple[Postings, tuple[PostingPart, ...]]]
    about: dict[str, Any]
    """What the arrays do not say; can be written as JSON."""
    merged_tables: dict[str, TextPart] = field(default_factory=dict)
    merged_lists: dict[str, PostingPart] = field(default_factory=dict)

    def merge(self) -> None:
        """Makes one part of each table and list; takes a while, and stops nobody."""
        for name, (_, parts) in self.tables.items():
            self.merged_tables[name] = texts.merge_parts(parts) if parts else texts.make_part(0, ())
        for name, (_, sealed) in self.lists.items():
            self.merged_lists[name] = postings.merge_parts(sealed)

    def adopt(self) -> None:
        """Gives the merged parts to the rows; the caller keeps other writers out."""
        for name, (table, parts) in self.tables.items():
            if len(parts) > 1:
                table.adopt(self.merged_tables[name])
        for name, (lists, sealed) in self.lists.items():
            if len(sealed) > 1:
                lists.adopt(self.merged_lists[name], len(sealed))

    def files(self) -> dict[str, NDArray[Any]]:
        """Returns everything to be saved, by the names of its files."""
        found = dict(self.arrays)
        for name, part in (*self.merged_tables.items(), *self.merged_lists.items()):
            found |= {f"{name}.{key}": array for key, array in part.arrays().items()}
        return found


def freeze(snapshot: Snapshot) -> Frozen:
    """Returns the newest state of the rows; the caller keeps writers out.

    Args:
        snapshot: The newest state.
    """
    rows = snapshot.rows
    rows.seal()
    documents, chunks = snapshot.document_count, snapshot.chunk_count
    arrays: dict[str, NDArray[Any]] = {
        "id_codes": rows.id_codes.rows(documents),
        "newest": rows.newest.rows(rows.newest.size).copy(),
        "previous": np.array([*rows.previous.items()], np.int32).reshape(-1, 2),
        "versions": rows.versions.rows(documents),
        "first_chunks": rows.first_chunks.rows(documents),
        "chunk_counts": rows.chunk_counts.rows(documents),
        "document_of": rows.document_of.rows(chunks),
        "ordinals": rows.ordinals.rows(chunks),
        "live": snapshot.live,
        "live_chunks": snapshot.live_chunk_mask,
        "lengths": rows.keywords.lengths.rows(chunks),
        "memtable": snapshot.memtable.vectors(chunks),
    }
    if rows.expires is not None:
        arrays["expires"] = rows.expires.rows(documents)
    frozen = Frozen(arrays, {}, {}, {})
    frozen.tables["ids"] = (rows.id_table, rows.id_table.parts)
    frozen.tables["terms"] = (rows.keywords.terms, rows.keywords.terms.parts)
    frozen.lists["words"] = (rows.keywords.postings, rows.keywords.postings.parts)
    _freeze_column(frozen, "acl", rows.acl, documents)
    _freeze_column(frozen, "uri", rows.uris, documents)
    fields = list(rows.fields.items())
    for number, (_, column) in enumerate(fields):
        _freeze_column(frozen, f"field{number}", column, documents)
    frozen.about = {
        "dimensions": rows.dimensions,
        "documents": documents,
        "chunks": chunks,
        "memtable_first": snapshot.memtable.first,
        "live_terms": snapshot.live_terms,
        "checksum": asdict(snapshot.checksum),
        "seq": snapshot.seq,
        "tenant_seq": snapshot.tenant_seq,
        "fields": [[name, int(column.kind)] for name, column in fields],
    }
    return frozen


def thaw(about: dict[str, Any], names: set[str], language: str, read: Read) -> Rows:
    """Returns rows from arrays.

    Args:
        about: What `freeze` noted.
        names: Arrays there are.
        language: Language of the keyword index.
        read: Returns an array.

    Raises:
        KeyError: an array is missing.
    """

    def growing(name: str) -> GrowingArray:
        return GrowingArray.over(read(name))

    def table(name: str) -> TextTable:
        keys = ("blob", "offsets", "hashes", "order")
        part = texts.load_part({key: read(f"{name}.{key}") for key in keys})
        return TextTable((part,) if part.last else ())

    def lists(name: str, *, has_numbers: bool = False) -> Postings:
        keys = ("keys", "offsets", "rows", "numbers")
        part = postings.load_part({key: read(f"{name}.{key}") for key in keys})
        return Postings(has_numbers=has_numbers, parts=(part,))

    def column(name: str, kind: FieldType) -> Column:
        if kind is FieldType.KEYWORD:
            return KeywordColumn(table(f"{name}.texts"), growing(f"{name}.codes"))
        if kind is FieldType.TAGS:
            return TagsColumn(
                table(f"{name}.texts"), lists(f"{name}.rows"), growing(f"{name}.present")
            )
        return NumberColumn(kind, growing(f"{name}.values"), growing(f"{name}.present"))

    rows = Rows(about["dimensions"], language)
    rows.id_table = table("ids")
    for name in _PLAIN:
        setattr(rows, name, growing(name))
    rows.expires = growing("expires") if "expires" in names else None
    rows.previous = dict(read("previous").tolist())
    rows.acl = column("acl", FieldType.TAGS)  # pyright: ignore[reportAttributeAccessIssue]
    rows.uris = column("uri", FieldType.KEYWORD)  # pyright: ignore[reportAttributeAccessIssue]
    rows.fields = {
        name: column(f"field{number}", FieldType(kind))
        for number, (name, kind) in enumerate(about["fields"])
    }
    rows.keywords = KeywordIndex(
        language, table("terms"), lists("words", has_numbers=True), growing("lengths")
    )
    rows.memtable = Memtable(about["memtable_first"], growing("memtable"))
    rows.live_terms = about["live_terms"]
    rows.checksum = Checksum(**about["checksum"])
    return rows


def is_written_in_place(name: str) -> bool:
    """Whether an array must be in memory, even where others are mapped."""
    return name in _IN_MEMORY or name == "memtable"


_PLAIN = (
    *("id_codes", "newest", "versions", "first_chunks", "chunk_counts", "document_of"),
    *("ordinals", "live", "live_chunks"),
)


def _freeze_column(frozen: Frozen, name: str, column: Column, count: int) -> None:
    if isinstance(column, KeywordColumn):
        frozen.arrays[f"{name}.codes"] = column.codes(count)
        frozen.tables[f"{name}.texts"] = (column.table, column.table.parts)
    elif isinstance(column, TagsColumn):
        frozen.arrays[f"{name}.present"] = column.present(count)
        tags = column.postings
        frozen.tables[f"{name}.texts"] = (tags.table, tags.table.parts)
        frozen.lists[f"{name}.rows"] = (tags.rows, tags.rows.parts)
    elif isinstance(column, NumberColumn):
        frozen.arrays[f"{name}.values"] = column.values(count)
        frozen.arrays[f"{name}.present"] = column.present(count)
