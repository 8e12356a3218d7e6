"""`cairn eval`: quality on labelled data."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.connection import find_gateway
from cli.errors import CliError
from cli.evaluation import asking, groundedness, loading, summary
from cli.evaluation.asking import MODES, Answered, Failed, Ranked
from cli.evaluation.dataset import Dataset, EvalQuery, read_dataset, sample
from cli.evaluation.metadata import storable
from cli.gateway_client import GatewayClient
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.terminal import err, out, styled, write_json

_MAX_SHOWN_FAILURES = 5
_MAX_SHOWN_FIELDS = 10


def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="corpus.jsonl, queries.jsonl and qrels.tsv.")
    ],
    *,
    mode: Annotated[
        str, typer.Option(help=f"{', '.join(MODES)}; grounded for a folder of judged answers.")
    ] = "hybrid",
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
    run_file: Annotated[
        Path | None,
        typer.Option("--run", help="Write a TREC run here; answers as JSON lines."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Queries at most, spread evenly over the file; 0: all.")
    ] = 0,
    collection: Annotated[
        str,
        typer.Option(help="Collection to load into; one that exists is measured as it is."),
    ] = "",
    language: Annotated[
        str, typer.Option(help="Snowball language of the keyword index; empty: the default.")
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Do not delete the collection.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Loads labelled data, asks its queries and prints quality. Exits with 1 if any failed."""
    if run_file is not None:
        _check_place(run_file)
    if mode == "grounded" or (mode == "hybrid" and groundedness.has_judged_answers(folder)):
        _evaluate_judged(folder, limit, run_file, data_dir, as_json=as_json)
        return
    if mode not in MODES:
        raise CliError(f"--mode {mode!r} is none of {', '.join(MODES)}")
    dataset = read_dataset(folder)
    queries = chosen(dataset, mode, limit)
    if run_file is not None and mode != "answer":
        # At its end, all that was asked would be lost.
        summary.check_run_names(each.query_id for each in queries)
        summary.check_run_names(each.document_id for each in dataset.documents)
    gateway = GatewayClient(find_gateway(data_dir))
    evaluation = _Evaluation(gateway, dataset, queries, mode, collection, language, keep)
    report, results = asyncio.run(evaluation.run())
    if run_file is not None:
        _write_run(run_file, mode, results)
    if as_json:
        write_json(json.dumps(report, ensure_ascii=False, indent=2))
    else:
        _show(report)
    if report["queries"]["failed"]:
        raise typer.Exit(1)


def _check_place(run_file: Path) -> None:
    """Refuses a place where no run can be written, before anything is asked."""
    parent = run_file.absolute().parent
    if not parent.is_dir():
        raise CliError(f"--run: {parent} is not a folder")
    if run_file.is_dir():
        raise CliError(f"--run: {run_file} is a folder: name a file")


def _evaluate_judged(
    folder: Path, limit: int, run_file: Path | None, data_dir: Path, *, as_json: bool
) -> None:
    """Compares the gateway's check of answers with people's judgements."""
    judged = sample(groundedness.read_judged_answers(folder), limit)
    gateway = GatewayClient(find_gateway(data_dir))
    began = time.monotonic()
    with _bar() as progress:
        task = progress.add_task("Checking", total=len(judged))
        checked = asyncio.run(
            groundedness.check_all(gateway, judged, lambda _: progress.advance(task))
        )
    if run_file is not None:
        lines = groundedness.run_lines(checked)
        run_file.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    found = groundedness.figures(checked)
    report = {
        "eval": folder.resolve().name,
        "mode": "grounded",
        "versions": {"cairn": metadata.version("cairn-rag")},
        "answers": len(checked),
        "metrics": {name: _rounded(value) for name, value in found.items()},
        "degraded": summary.steps_of(each.degraded for each in checked),
        "seconds": _rounded(time.monotonic() - began),
    }
    if as_json:
        write_json(json.dumps(report, ensure_ascii=False, indent=2))
        return
    out.print(_table(f"{report['eval']}, grounded", report["metrics"]))
    out.print(f"{len(checked)} answers; {report['seconds']:.0f} s")
    _tell_degraded(report["degraded"])


def chosen(dataset: Dataset, mode: str, limit: int) -> list[EvalQuery]:
    """Returns the queries to ask: a ranking can be scored only where a document is relevant.

    Raises:
        CliError: there is none.
    """
    queries = [query for query in dataset.queries if mode == "answer" or query.has_relevant]
    if not queries:
        raise CliError("no query has a relevant document", "--mode answer measures answers alone")
    return sample(queries, limit)


class _Evaluation:
    def __init__(
        self,
        gateway: GatewayClient,
        dataset: Dataset,
        queries: Sequence[EvalQuery],
        mode: str,
        collection: str,
        language: str,
        keep: bool,
    ) -> None:
        self._gateway = gateway
        self._dataset = dataset
        self._queries = queries
        self._mode = mode
        self._collection = collection or f"eval-{secrets.token_hex(6)}"
        self._language = language
        self._keep = keep

    async def run(self) -> tuple[dict[str, Any], list[Ranked | Answered | Failed]]:
        began = time.monotonic()
        async with self._gateway, self._loaded() as load_seconds:
            corpus = await self._corpus(load_seconds)
            asked = time.monotonic()
            with _bar() as progress:
                task = progress.add_task("Asking", total=len(self._queries))
                results = await asking.ask_all(
                    self._gateway,
                    self._collection,
                    self._queries,
                    self._mode,
                    lambda _: progress.advance(task),
                )
            ask_seconds = time.monotonic() - asked
            figures = await self._figures(results)
        _tell_failures(results)
        return self._report(corpus, results, figures, ask_seconds, began), results

    @contextlib.asynccontextmanager
    async def _loaded(self) -> AsyncIterator[float | None]:
        """Loads the corpus; yields the seconds that took, None when it was there before."""
        name = self._collection
        if not await loading.create_collection(self._gateway, name, self._language):
            err.print(styled(f"Collection {name} exists: it is measured as it is, and stays."))
            yield None
            return
        documents, left_out = storable(self._dataset.documents)
        if left_out:
            names = ", ".join(map(repr, left_out[:_MAX_SHOWN_FIELDS]))
            said = f"Metadata that cannot be stored is left out, of {len(left_out)} fields: {names}"
            err.print(styled(said, "yellow"))
        try:
            began = time.monotonic()
            with _bar() as progress:
                task = progress.add_task("Loading", total=len(documents))
                await loading.load(
                    self._gateway,
                    name,
                    documents,
                    lambda ready: progress.update(task, completed=ready),
                )
            yield time.monotonic() - began
        finally:
            if self._keep:
                err.print(styled(f"Collection {name} stays."))
            else:
                await loading.delete_collection(self._gateway, name)

    async def _corpus(self, load_seconds: float | None) -> dict[str, Any]:
        collection = await loading.get_collection(self._gateway, self._collection)
        if empty := len(self._dataset.empty_ids):
            err.print(styled(f"{empty} documents without any text are left out.", "yellow"))
        expected = len(self._dataset.documents)
        if collection["document_count"] != expected:
            err.print(
                styled(
                    f"The collection holds {collection['document_count']} documents, "
                    f"the data {expected}.",
                    "yellow",
                )
            )
        return {
            "documents": collection["document_count"],
            "empty_documents": empty,
            "chunks": collection["chunk_count"],
            "load_seconds": load_seconds,
            "embedding_model": collection["embedding_model"],
        }

    async def _figures(self, results: Sequence[Ranked | Answered | Failed]) -> dict[str, Any]:
        by_id = {query.query_id: query for query in self._queries}
        if self._mode != "answer":
            ranked = [each for each in results if isinstance(each, Ranked)]
            return summary.ranking_figures(by_id, ranked)
        answered = [each for each in results if isinstance(each, Answered)]
        sources = asking.Sources(self._gateway, self._collection)
        valid = [await sources.holds(each) for one in answered for each in one.citations]
        return summary.answer_figures(by_id, answered, valid)

    def _report(
        self,
        corpus: dict[str, Any],
        results: Sequence[Ranked | Answered | Failed],
        figures: dict[str, Any],
        ask_seconds: float,
        began: float,
    ) -> dict[str, Any]:
        done = [each for each in results if not isinstance(each, Failed)]
        times = [each.milliseconds for each in done]
        return {
            "eval": self._dataset.name,
            "mode": self._mode,
            "versions": {"cairn": metadata.version("cairn-rag")},
            "collection": self._collection,
            "corpus": corpus,
            "queries": {
                "in_data": len(self._dataset.queries),
                "asked": len(results),
                "failed": len(results) - len(done),
            },
            "metrics": {name: _rounded(value) for name, value in figures.items()},
            "degraded": summary.degradations(done),
            "latency_ms": {
                f"p{percent}": _rounded(summary.percentile(times, percent)) for percent in (50, 95)
            },
            "ask_seconds": _rounded(ask_seconds),
            "seconds": _rounded(time.monotonic() - began),
        }


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 4)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    )


def _tell_failures(results: Sequence[Ranked | Answered | Failed]) -> None:
    failed = [each for each in results if isinstance(each, Failed)]
    for each in failed[:_MAX_SHOWN_FAILURES]:
        err.print(styled(f"failed: query {each.query_id}: {each.problem}", "red"))
    if len(failed) > _MAX_SHOWN_FAILURES:
        err.print(styled(f"… and {len(failed) - _MAX_SHOWN_FAILURES} more", "red"))


def _write_run(path: Path, mode: str, results: Sequence[Ranked | Answered | Failed]) -> None:
    if mode == "answer":
        lines = summary.answer_run([each for each in results if isinstance(each, Answered)])
    else:
        ranked = [each for each in results if isinstance(each, Ranked)]
        lines = summary.trec_run(ranked, f"cairn-{mode}")
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _show(report: dict[str, Any]) -> None:
    queries, corpus = report["queries"], report["corpus"]
    out.print(_table(f"{report['eval']}, {report['mode']}", report["metrics"]))
    out.print(
        f"{queries['asked']} of {queries['in_data']} queries, {queries['failed']} failed; "
        f"{corpus['documents']} documents, {corpus['chunks']} chunks; "
        f"{report['seconds']:.0f} s"
    )
    _tell_degraded(report["degraded"])


def _table(title: str, figures: Mapping[str, float | int | None]) -> Table:
    table = Table("measure", show_edge=False, pad_edge=False)
    table.add_column(title, justify="right")
    for name, value in figures.items():
        shown = "–" if value is None else f"{value}" if isinstance(value, int) else f"{value:.4f}"
        table.add_row(name, shown)
    return table


def _tell_degraded(steps: Mapping[str, int]) -> None:
    for step, count in steps.items():
        out.print(styled(f"degraded: {step}: {count} queries", "yellow"))
