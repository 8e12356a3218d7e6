"""Sources as the gateway's own contract shows them, which has ingestion's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.gateway.clients.source_messages import entry_from_proto, source_to_proto
from services.gateway.entered_rpcs import check_known, time_to_proto

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
    check_known(message.kind, pb.SourceKind.values(), "source.kind")
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
        next_sync_at=time_to_proto(status.next_sync_at),
        item_count=status.item_count,
        failed_count=status.failed_count,
        last_success_at=time_to_proto(status.last_success_at),
        requested_sync_number=status.requested_sync_number,
        created_at=time_to_proto(status.created_at),
        updated_at=time_to_proto(status.updated_at),
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
        modified_at=time_to_proto(item.modified_at),
        submitted_at=time_to_proto(item.submitted_at),
        failure=_failure(item.failure),
    )


def _report(report: SyncReport) -> pb.SyncReport:
    return pb.SyncReport(
        sync_number=report.sync_number,
        started_at=time_to_proto(report.started_at),
        ended_at=time_to_proto(report.ended_at),
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
    check_known(message.priority, pb.Priority.values(), f"{path}.priority")
    check_known(message.on_removal, pb.RemovalPolicy.values(), f"{path}.on_removal")
