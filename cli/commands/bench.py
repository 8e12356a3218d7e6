"""`cairn bench`: speed, both sides in one run."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.benchmarks import benchmark_names, extras, run_benchmark, summary_of
from cli.errors import CliError
from cli.terminal import err, out, styled, write_json


def bench(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Benchmark; none: list them.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="End within about a minute.")] = False,
    run_all: Annotated[bool, typer.Option("--all", help="Run every benchmark.")] = False,
) -> None:
    """Runs a benchmark, or lists them. Losing rows are kept.

    Further options are the benchmark's own: `cairn bench retrieval --peers qdrant --rows 100000`.
    """
    if run_all and (name or as_json):
        raise CliError("--all goes with neither a name nor --json", "run one with --json each")
    if context.args and not name:
        raise CliError(f"no benchmark is named for {context.args[0]}", "name one: cairn bench NAME")
    if not name and not run_all:
        _list(as_json)
        return
    for each in benchmark_names() if run_all else [name]:
        err.print(styled(f"Running {each}{' (quick)' if quick else ''}…"))
        report = run_benchmark(each, is_quick=quick, more=context.args)
        if as_json:
            write_json(json.dumps(report, ensure_ascii=False))
        else:
            _show(report)


def _list(as_json: bool) -> None:
    names = benchmark_names()
    if as_json:
        listed = [{"name": name, "summary": summary_of(name)} for name in names]
        write_json(json.dumps({"benchmarks": listed}, ensure_ascii=False))
        return
    for name in names:
        out.print(styled(f"{name:12} {summary_of(name)}"))
    if not names:
        err.print("Benchmarks are part of a checkout; there is none here.")


def _show(report: dict[str, Any]) -> None:
    table = Table("case", "system", "metric", show_edge=False, pad_edge=False)
    table.add_column("value", justify="right")
    table.add_column("", overflow="fold")
    for row in report["rows"]:
        cells = (row["case"], row["system"], row["metric"], f"{row['value']:g}", extras(row))
        table.add_row(*(styled(cell) for cell in cells))
    out.print(table)
    for name in ("versions", "machine"):
        pairs = ", ".join(f"{key} {value}" for key, value in report[name].items())
        out.print(styled(f"{name}: {pairs}", "dim"))
