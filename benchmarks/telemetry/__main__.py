"""`python -m benchmarks.telemetry [--quick] [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as rpc

from benchmarks.report import report
from benchmarks.suites import ROOT, Suite, cairn, suite
from benchmarks.telemetry.load import Searcher

BENCH = "telemetry"
PACKAGES = ("grpcio", "prometheus-client", "opentelemetry-sdk")
SEED = 9
SERVICES = ("EMBEDDING", "RETRIEVAL", "GENERATION", "INGESTION", "GATEWAY")
SAMPLE_RATIO = 0.01
CLIENTS = 16
_TEXT = """# {0}

{0} forms when magma cools, or when pressure and heat change what lay there before. Layer {1}.
"""


@dataclass(frozen=True, slots=True)
class Side:
    """A running suite, and who asks it."""

    suite: Suite
    searcher: Searcher

    def cpu_seconds(self) -> float:
        """Processor time of all its services."""
        return sum(self.suite.cpu_seconds().values())


class Collector(rpc.TraceServiceServicer):
    """Takes spans and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        """Takes a batch."""
        for resource in request.resource_spans:
            self.count += sum(len(scope.spans) for scope in resource.scope_spans)
        return pb.ExportTraceServiceResponse()


@contextlib.contextmanager
def side(folder: Path, seed: int, **environment: str) -> Iterator[Side]:
    """Runs a suite with some documents."""
    with suite(folder / "data", **environment) as running:
        documents = folder / "documents"
        documents.mkdir()
        for number, word in enumerate(("granite", "basalt", "slate", "marble", "gneiss") * 8):
            (documents / f"{number}.md").write_text(_TEXT.format(word, number), "utf-8")
        cairn(running.data_dir, "ingest", "--json", str(documents))
        yield Side(running, Searcher(running.url, running.key, seed))


def main() -> None:
    """Runs the benchmark and prints its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    starts, rounds, seconds = (1, 6, 2.0) if options.quick else (4, 6, 3.0)
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    rpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    on = {f"CAIRN_{name}_OTLP_ENDPOINT": f"127.0.0.1:{port}" for name in SERVICES}
    on |= {f"CAIRN_{name}_TRACE_SAMPLE_RATIO": str(SAMPLE_RATIO) for name in SERVICES}
    off = {"PYTHONPATH": f"{Path(__file__).parent / 'off'}{os.pathsep}{ROOT}"}
    measured = Measured()
    scrape: dict[str, Any] = {}
    for _ in range(starts):
        with (
            tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder,
            side(Path(folder) / "on", SEED, **on) as with_telemetry,
            side(Path(folder) / "off", SEED, **off) as without,
        ):
            asyncio.run(compare(with_telemetry, without, rounds, seconds, measured))
            scrape = asyncio.run(_scrapes(with_telemetry))
    rows = [*measured.rows(), scrape]
    server.stop(None)
    rows.append(_row("collector", "on", "spans received", collector.count))
    if options.json:
        print(json.dumps(report(BENCH, rows, seed=SEED, packages=PACKAGES)))
        return
    for row in rows:
        extra = f"{row['ratio']}x of {row['against']}" if "ratio" in row else ""
        print(f"{row['case']:24} {row['system']:10} {row['metric']:24} {row['value']:>10} {extra}")


class Measured:
    """What both sides did, in pairs that are close in time: telemetry on, off."""

    def __init__(self) -> None:
        self.speeds: list[tuple[float, float]] = []
        self.costs: list[tuple[float, float]] = []

    def rows(self) -> list[dict[str, Any]]:
        """Returns the medians; the ratio is the median over pairs."""
        return [
            *_rows("searches a second", self.speeds, 1, 1),
            *_rows("processor ms a search", self.costs, 1e3, 3),
        ]


async def compare(on: Side, off: Side, rounds: int, seconds: float, measured: Measured) -> None:
    """Asks both sides in turns.

    A pair of turns is close in time, so that what else the machine does falls on both. Both sides
    are started several times: where a process happens to lie in memory makes it some percent faster
    or slower for its whole life.
    """
    for each in (on, off):
        await each.searcher.run(seconds, CLIENTS)
    for turn in range(rounds):
        order = (on, off) if turn % 2 else (off, on)
        found: dict[int, tuple[float, float]] = {}
        for each in order:
            before = each.cpu_seconds()
            count, took = await each.searcher.run(seconds, CLIENTS)
            found[id(each)] = (count / took, (each.cpu_seconds() - before) / count)
        measured.speeds.append((found[id(on)][0], found[id(off)][0]))
        measured.costs.append((found[id(on)][1], found[id(off)][1]))


async def _scrapes(measured: Side) -> dict[str, Any]:
    """Returns what Prometheus costs all processes every time it asks: usually each 15 seconds."""
    times = 20
    before = measured.cpu_seconds()
    for _ in range(times):
        for address in measured.suite.metrics:
            await asyncio.to_thread(_scrape, address)
    spent = measured.cpu_seconds() - before
    return _row("scrape of all", "on", "processor ms", round(spent / times * 1e3, 1))


def _rows(
    metric: str, pairs: list[tuple[float, float]], scale: float, digits: int
) -> Iterator[dict[str, Any]]:
    on, off = (statistics.median(each) * scale for each in zip(*pairs, strict=True))
    ratio = statistics.median(with_it / without for with_it, without in pairs)
    yield _row("search", "off", metric, round(off, digits))
    yield _row("search", "on at 1 %", metric, round(on, digits)) | {
        "ratio": round(ratio, 3),
        "against": "off",
    }


def _row(case: str, system: str, metric: str, value: float) -> dict[str, Any]:
    return {"case": case, "system": system, "metric": metric, "value": value}


def _scrape(address: str) -> None:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        answer.read()


if __name__ == "__main__":
    main()
