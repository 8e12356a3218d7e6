"""Sources of the ingestion service under test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from tests.kit.ingestion_service import Suite


@dataclass
class SourceUnderTest:
    """A source named "docs" and the service that goes through it."""

    suite: Suite

    async def put_source(self, source: pb.Source, interval_seconds: float | None = None) -> Any:
        """Creates the source and waits until it was gone through."""
        if interval_seconds is not None:
            source.sync_interval.CopyFrom(Duration(seconds=int(interval_seconds)))
        answer = await self.suite.stub.PutSource(
            pb.PutSourceRequest(scope=self.suite.scope, source=source)
        )
        return await self.wait_for(answer.status.requested_sync_number)

    async def sync(self, *paths: str, **options: Any) -> Any:
        """Goes through the source and returns its state then."""
        answer = await self.suite.stub.SyncSource(
            pb.SyncSourceRequest(scope=self.suite.scope, name="docs", paths=paths, **options)
        )
        return await self.wait_for(answer.sync_number)

    async def wait_for(self, sync_number: int) -> Any:
        """Waits until a synchronisation has ended."""
        request = pb.WatchSourceRequest(
            scope=self.suite.scope, name="docs", sync_number=sync_number
        )
        status = None
        async for message in self.suite.stub.WatchSource(request, timeout=60):
            status = message.status
        assert status is not None
        assert status.report.HasField("ended_at")
        return status

    async def status(self) -> Any:
        """The source's state now."""
        request = pb.GetSourceRequest(scope=self.suite.scope, name="docs")
        return (await self.suite.stub.GetSource(request)).status

    async def items(self, **options: Any) -> list[Any]:
        """What was found in the source."""
        request = pb.ListSourceItemsRequest(scope=self.suite.scope, name="docs", **options)
        return list((await self.suite.stub.ListSourceItems(request)).items)

    async def settle(self) -> None:
        """Waits until the jobs of all items have ended."""
        ids = [each.job_id for each in await self.items() if each.job_id]
        if ids:
            await self.suite.finish(*ids)

    async def texts(self, collection: str = "docs") -> dict[str, str]:
        """First words of the indexed documents, by id."""
        await self.settle()
        documents = self.suite.retrieval.documents["t", collection]
        return {
            name: held.text.replace("# Guide", "").replace("Guide", "").split()[0].strip("#")
            for name, held in documents.items()
        }


@dataclass
class FolderSource(SourceUnderTest):
    """A folder."""

    root: Path

    def write(self, name: str, text: str) -> None:
        """Writes a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    async def put(self, interval_seconds: float | None = None, **fields: Any) -> Any:
        """Creates the source, or changes it, and goes through it."""
        source = pb.Source(
            name="docs",
            kind=pb.SOURCE_KIND_FOLDER,
            location=str(self.root),
            collection="docs",
            **fields,
        )
        return await self.put_source(source, interval_seconds)
