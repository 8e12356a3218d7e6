"""Sources as the gateway's own contract shows them, which has ingestion's messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.clients.source_messages import entry_from_proto, source_to_proto
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from services.gateway.sources import (
        Failure,
        Source,
        SourceEntry,
        SourceItem,
        SourceStatus,
        SyncReport,
    )


def source_from_proto(message: pb.Source) -> Source:
    """Returns a source as a caller states it.

    Raises:
        InvalidArgumentError: it has a value that is not known.
    """
    _check(message.kind, pb.SourceKind.values(), "source.kind")
    _check_policies(message, "source")
    for index, rule in enumerate(message.rules):
        _check_policies(rule, f"source.rules[{index}]")
    return entry_from_proto(message, pb.SourceStatus()).source


def entry_to_proto(entry: SourceEntry) -> pb.SourceEntry:
    """Returns the message of a source with its state."""
    return pb.SourceEntry(
        source=source_to_proto(entry.source), status=status_to_proto(entry.status)
    )


def status_to_proto(status: SourceStatus) -> pb.SourceStatus:
    """Returns the message of a source's state."""
    return pb.SourceStatus(
        state=f"SYNC_STATE_{status.state.upper() or 'UNSPECIFIED'}",
        report=_report(status.report) if status.report is not None else None,
        next_sync_at=_time(status.next_sync_at),
        item_count=status.item_count,
        failed_count=status.failed_count,
        last_success_at=_time(status.last_success_at),
        requested_sync_number=status.requested_sync_number,
        created_at=_time(status.created_at),
        updated_at=_time(status.updated_at),
        pending_count=status.pending_count,
    )


def item_to_proto(item: SourceItem) -> pb.SourceItem:
    """Returns the message of an item of a source."""
    return pb.SourceItem(
        path=item.path,
        collection=item.collection,
        document_id=item.document_id,
        job_id=item.job_id,
        size_bytes=item.size_bytes,
        modified_at=_time(item.modified_at),
        submitted_at=_time(item.submitted_at),
        failure=_failure(item.failure),
    )


def _report(report: SyncReport) -> pb.SyncReport:
    return pb.SyncReport(
        sync_number=report.sync_number,
        started_at=_time(report.started_at),
        ended_at=_time(report.ended_at),
        failure=_failure(report.failure),
        **report.counts,
    )


def _failure(failure: Failure | None) -> pb.JobFailure | None:
    if failure is None:
        return None
    return pb.JobFailure(
        reason=failure.reason, message=failure.message, is_retryable=failure.is_retryable
    )


def _check_policies(message: Any, path: str) -> None:
    _check(message.priority, pb.Priority.values(), f"{path}.priority")
    _check(message.on_removal, pb.RemovalPolicy.values(), f"{path}.on_removal")


def _check(number: int, known: Iterable[int], field: str) -> None:
    if number not in known:
        raise InvalidArgumentError.for_field(field, f"{number} is not a known value")


def _time(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
