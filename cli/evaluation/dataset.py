"""Labelled data: `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` of one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cli.errors import CliError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A line of `corpus.jsonl`."""

    document_id: str
    title: str
    text: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EvalQuery:
    """A line of `queries.jsonl` with its judgements."""

    query_id: str
    text: str
    answers: tuple[str, ...] = ()
    is_answerable: bool | None = None
    """None where the data do not say."""
    history: tuple[tuple[str, str], ...] = ()
    """Former turns: speaker ("user" or "assistant") and text, oldest first."""
    filter: str = ""
    """Condition on metadata, in the text syntax."""
    grades: Mapping[str, int] = field(default_factory=dict)
    """Grade of each judged document; above 0 is relevant."""

    @property
    def has_relevant(self) -> bool:
        """Whether a document is judged relevant, so that a ranking can be scored."""
        return any(grade > 0 for grade in self.grades.values())


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of labelled data."""

    name: str
    documents: tuple[CorpusDocument, ...]
    """Those with a text."""
    empty_ids: tuple[str, ...]
    """Documents without text and title: nothing to search, nothing to load."""
    queries: tuple[EvalQuery, ...]


def read_dataset(folder: Path) -> Dataset:
    """Reads a folder.

    Raises:
        CliError: a file is missing or a line is wrong; says which and why.
    """
    documents, empty_ids = _documents(folder / "corpus.jsonl")
    has_collections = any("collection" in document.metadata for document in documents)
    grades = _grades(folder / "qrels.tsv")
    queries = tuple(_queries(folder / "queries.jsonl", grades, has_collections))
    if not documents or not queries:
        raise CliError(f"{folder} has no {'queries' if documents else 'documents with text'}")
    unknown = grades.keys() - {query.query_id for query in queries}
    if unknown:
        raise CliError(f"{folder / 'qrels.tsv'} judges unknown query {min(unknown)!r}")
    return Dataset(folder.resolve().name, documents, empty_ids, queries)


def sample(queries: Sequence[T], limit: int) -> list[T]:
    """Returns at most `limit` queries, spread evenly: neighbours are often about one document.

    Args:
        queries: In the order of their file.
        limit: Most to take; 0: all.
    """
    if not limit or limit >= len(queries):
        return list(queries)
    return [queries[place * len(queries) // limit] for place in range(limit)]


def _documents(path: Path) -> tuple[tuple[CorpusDocument, ...], tuple[str, ...]]:
    found: dict[str, CorpusDocument] = {}
    empty = []
    for line in lines_of(path):
        document_id, title = line.identifier(), line.text("title")
        text, metadata = line.text("text"), line.content.get("metadata")
        if metadata is None:
            metadata = {}
        if not isinstance(metadata, dict):
            raise line.error("metadata", "must be an object")
        if document_id in found:
            raise line.error("_id", f"{document_id!r} is there twice")
        if text.strip() or title.strip():
            found[document_id] = CorpusDocument(
                document_id, title, text if text.strip() else title, metadata
            )
        else:
            empty.append(document_id)
    return tuple(found.values()), tuple(empty)


def _queries(
    path: Path, grades: Mapping[str, Mapping[str, int]], has_collections: bool
) -> Iterator[EvalQuery]:
    seen = set()
    for line in lines_of(path):
        query_id = line.identifier()
        if query_id in seen:
            raise line.error("_id", f"{query_id!r} is there twice")
        seen.add(query_id)
        answers = line.content.get("answers") or []
        if not isinstance(answers, list) or not all(isinstance(each, str) for each in answers):
            raise line.error("answers", "must be a list of strings")
        is_answerable = line.content.get("answerable")
        if is_answerable is None and answers:
            is_answerable = True
        if is_answerable is not None and not isinstance(is_answerable, bool):
            raise line.error("answerable", "must be true or false")
        collection = line.text("collection") if has_collections else ""
        yield EvalQuery(
            query_id=query_id,
            text=line.text("text", required=True),
            answers=tuple(answers),
            is_answerable=is_answerable,
            history=tuple(_turns(line)),
            filter=f"collection = {_quoted(collection)}" if collection else "",
            grades=grades.get(query_id, {}),
        )


def _turns(line: Line) -> Iterator[tuple[str, str]]:
    history = line.content.get("history") or []
    if not isinstance(history, list):
        raise line.error("history", "must be a list of turns")
    for turn in history:
        if isinstance(turn, str):
            turn = {"text": turn}  # noqa: PLW2901 - a bare text is the user's
        text = turn.get("text", turn.get("content")) if isinstance(turn, dict) else None
        if not isinstance(text, str):
            raise line.error("history", "each turn must be a string, or have role and text")
        speaker = turn.get("role") or turn.get("speaker") or "user"
        if text.strip():
            yield ("user" if speaker == "user" else "assistant"), text


def _grades(path: Path) -> dict[str, dict[str, int]]:
    """Reads judgements; a file that is not there judges nothing (answers alone can be measured)."""
    grades: dict[str, dict[str, int]] = {}
    if not path.exists():
        return grades
    for number, line in enumerate(_rows_of(path), start=1):
        parts = line.split("\t")
        if number == 1 and parts[-1].strip().lower() == "score":
            continue
        if not line.strip():
            continue
        try:
            query_id, document_id, grade = parts
            grades.setdefault(query_id.strip(), {})[document_id.strip()] = _whole(grade)
        except ValueError:
            raise CliError(
                f"{path}, line {number}: must be query-id, corpus-id and a whole number, "
                "with tabs between"
            ) from None
    return grades


def _whole(grade: str) -> int:
    """Returns a grade: a whole number, which some programs write as "1.0".

    Raises:
        ValueError: it is none.
    """
    value = float(grade)
    if not value.is_integer():
        raise ValueError(grade)
    return int(value)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file of JSON objects."""

    path: Path
    number: int
    content: Mapping[str, Any]

    def error(self, name: str, problem: str) -> CliError:
        """Returns the error of a field that is wrong."""
        return CliError(f"{self.path}, line {self.number}: {name}: {problem}")

    def identifier(self) -> str:
        """Returns the field `_id`; a whole number stands for its digits, as qrels.tsv has them.

        Raises:
            CliError: it is neither a text nor a whole number, or empty.
        """
        value = self.content.get("_id")
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text("_id", required=True)

    def text(self, name: str, *, required: bool = False) -> str:
        """Returns a field that is a text; empty where there is none.

        Raises:
            CliError: it is no text, or empty although it must not be.
        """
        value = self.content.get(name)
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise self.error(name, "must be a string")
        if required and not value.strip():
            raise self.error(name, "must not be empty")
        return value


def lines_of(path: Path) -> Iterator[Line]:
    """Yields the lines of a file of JSON objects; empty ones are left out.

    Raises:
        CliError: there is no such file, or a line is no JSON object.
    """
    for number, line in enumerate(_rows_of(path), start=1):
        if not line.strip():
            continue
        try:
            content = _content_of(line)
        except ValueError:
            raise CliError(f"{path}, line {number}: not JSON") from None
        if not isinstance(content, dict):
            raise CliError(f"{path}, line {number}: must be an object")
        yield Line(path, number, content)


def _content_of(line: str) -> Any:
    """Returns what a line of JSON says; halves of characters become the sign for what is unknown.

    Raises:
        ValueError: it is no JSON.
    """
    content = json.loads(line)
    if "\\ud" not in line.lower():
        return content
    whole = json.dumps(content, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
    return json.loads(whole.decode("utf-16-le", "replace"))


def _rows_of(path: Path) -> list[str]:
    """Returns the lines of a file in UTF-8, with a byte-order mark or without, of either ending.

    Raises:
        CliError: it cannot be read.
    """
    try:
        raw = path.read_text("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise CliError(
            f"{path} does not exist", "the folder needs corpus.jsonl, queries.jsonl and qrels.tsv"
        ) from None
    except UnicodeDecodeError:
        raise CliError(f"{path} is not UTF-8") from None
    except OSError as error:
        raise CliError(f"{path} cannot be read: {error.strerror}") from None
    return raw.split("\n")  # reading has made one ending of both


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
