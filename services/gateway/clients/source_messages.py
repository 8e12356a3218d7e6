"""Sources and enrichment settings to ingestion's messages and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from services.filters.proto import value_from_proto, value_to_proto
from services.gateway.sources import (
    Enrichment,
    Failure,
    Source,
    SourceEntry,
    SourceItem,
    SourceRule,
    SourceStatus,
    SyncReport,
)

_COUNTS = (
    "item_count",
    "submitted_count",
    "unchanged_count",
    "excluded_count",
    "removed_count",
    "deleted_count",
    "failed_count",
)
_MAX_SECONDS = 1e11


def source_to_proto(source: Source) -> pb.Source:
    """Returns the message of a source."""
    message = pb.Source(
        name=source.name,
        kind=_number(pb.SourceKind, "SOURCE_KIND", source.kind),
        location=source.location,
        urls=source.urls,
        collection=source.collection,
        rules=[_rule_to_proto(rule) for rule in source.rules],
        acl=source.acl,
        metadata={name: value_to_proto(value) for name, value in source.metadata.items()},
        priority=_number(pb.Priority, "PRIORITY", source.priority),
        on_removal=_number(pb.RemovalPolicy, "REMOVAL_POLICY", source.on_removal),
        owner=source.owner,
        credentials=source.credentials,
        is_paused=source.is_paused,
    )
    if source.sync_interval_seconds is not None:
        seconds = max(-_MAX_SECONDS, min(source.sync_interval_seconds, _MAX_SECONDS))
        message.sync_interval.CopyFrom(
            Duration(seconds=int(seconds), nanos=int((seconds - int(seconds)) * 1e9))
        )
    return message


def _rule_to_proto(rule: SourceRule) -> pb.SourceRule:
    return pb.SourceRule(
        pattern=rule.pattern,
        is_excluded=rule.is_excluded,
        acl=rule.acl,
        metadata={name: value_to_proto(value) for name, value in rule.metadata.items()},
        collection=rule.collection,
        priority=_number(pb.Priority, "PRIORITY", rule.priority),
        on_removal=_number(pb.RemovalPolicy, "REMOVAL_POLICY", rule.on_removal),
    )


def _number(enum: Any, prefix: str, name: str) -> Any:
    return enum.Value(f"{prefix}_{name.upper() or 'UNSPECIFIED'}")


def _name(enum: Any, prefix: str, number: int) -> str:
    try:
        name = enum.Name(number)
    except ValueError:
        return ""
    return "" if not number else name.removeprefix(f"{prefix}_").lower()


def entry_from_proto(source: pb.Source, status: pb.SourceStatus) -> SourceEntry:
    """Returns a source with its state."""
    return SourceEntry(_source(source), status_from_proto(status))


def _source(message: pb.Source) -> Source:
    interval = None
    if message.HasField("sync_interval"):
        interval = message.sync_interval.seconds + message.sync_interval.nanos / 1e9
    return Source(
        name=message.name,
        kind=_name(pb.SourceKind, "SOURCE_KIND", message.kind),
        location=message.location,
        urls=tuple(message.urls),
        collection=message.collection,
        rules=tuple(_rule(rule) for rule in message.rules),
        acl=tuple(message.acl),
        metadata=_metadata(message.metadata),
        priority=_name(pb.Priority, "PRIORITY", message.priority),
        on_removal=_name(pb.RemovalPolicy, "REMOVAL_POLICY", message.on_removal),
        sync_interval_seconds=interval,
        owner=message.owner,
        credentials=message.credentials,
        is_paused=message.is_paused,
    )


def _rule(message: pb.SourceRule) -> SourceRule:
    return SourceRule(
        pattern=message.pattern,
        is_excluded=message.is_excluded,
        acl=tuple(message.acl),
        metadata=_metadata(message.metadata),
        collection=message.collection,
        priority=_name(pb.Priority, "PRIORITY", message.priority),
        on_removal=_name(pb.RemovalPolicy, "REMOVAL_POLICY", message.on_removal),
    )


def _metadata(messages: Any) -> dict[str, Any]:
    return {name: value_from_proto(value, "metadata") for name, value in messages.items()}


def status_from_proto(message: pb.SourceStatus) -> SourceStatus:
    """Returns a source's state."""
    return SourceStatus(
        state=_name(pb.SyncState, "SYNC_STATE", message.state),
        report=_report(message.report) if message.HasField("report") else None,
        next_sync_at=_moment(message, "next_sync_at"),
        item_count=message.item_count,
        failed_count=message.failed_count,
        pending_count=message.pending_count,
        last_success_at=_moment(message, "last_success_at"),
        requested_sync_number=message.requested_sync_number,
        created_at=_moment(message, "created_at"),
        updated_at=_moment(message, "updated_at"),
    )


def _report(message: pb.SyncReport) -> SyncReport:
    return SyncReport(
        sync_number=message.sync_number,
        started_at=_moment(message, "started_at"),
        ended_at=_moment(message, "ended_at"),
        counts={name: getattr(message, name) for name in _COUNTS},
        failure=_failure(message),
    )


def _failure(message: Any) -> Failure | None:
    if not message.HasField("failure"):
        return None
    failure = message.failure
    return Failure(failure.reason, failure.message, failure.is_retryable)


def _moment(message: Any, name: str) -> datetime | None:
    return getattr(message, name).ToDatetime() if message.HasField(name) else None


def item_from_proto(message: pb.SourceItem) -> SourceItem:
    """Returns an item of a source."""
    return SourceItem(
        path=message.path,
        collection=message.collection,
        document_id=message.document_id,
        job_id=message.job_id,
        size_bytes=message.size_bytes,
        modified_at=_moment(message, "modified_at"),
        submitted_at=_moment(message, "submitted_at"),
        failure=_failure(message),
    )


def enrichment_to_proto(settings: Enrichment) -> pb.EnrichmentSettings:
    """Returns the message of enrichment settings."""
    return pb.EnrichmentSettings(
        detect_language=settings.detect_language,
        detect_dates=settings.detect_dates,
        personal_data=_number(
            pb.PersonalDataPolicy, "PERSONAL_DATA_POLICY", settings.personal_data
        ),
        hooks=settings.hooks,
        on_hook_failure=_number(
            pb.HookFailurePolicy, "HOOK_FAILURE_POLICY", settings.on_hook_failure
        ),
    )


def enrichment_from_proto(
    message: pb.EnrichmentSettings, *, is_own: bool, available_hooks: tuple[str, ...]
) -> Enrichment:
    """Returns enrichment settings."""
    return Enrichment(
        detect_language=message.detect_language,
        detect_dates=message.detect_dates,
        personal_data=_name(pb.PersonalDataPolicy, "PERSONAL_DATA_POLICY", message.personal_data),
        hooks=tuple(message.hooks),
        on_hook_failure=_name(pb.HookFailurePolicy, "HOOK_FAILURE_POLICY", message.on_hook_failure),
        is_own=is_own,
        available_hooks=available_hooks,
    )
