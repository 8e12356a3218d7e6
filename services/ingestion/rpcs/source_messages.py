"""Messages of sources and enrichment settings to domain values, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.filters.proto import value_from_proto, value_to_proto
from services.ingestion.enrichment.settings import (
    EnrichmentSettings,
    HookFailurePolicy,
    PersonalDataPolicy,
)
from services.ingestion.messages import duration, priority_from_proto, timestamp
from services.ingestion.sources.model import (
    Problem,
    RemovalPolicy,
    Rule,
    Source,
    SourceKind,
    SourceStatus,
    StoredItem,
    SyncReport,
)
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    import enum
    from collections.abc import Mapping

    from cairn.types.v1 import metadata_pb2
    from google.protobuf.duration_pb2 import Duration

    from services.filters.values import Value

E = TypeVar("E", bound="enum.IntEnum")

_MAX_DURATION_SECONDS = 10**11


def source_from_proto(message: pb.Source) -> Source:
    """Returns the source.

    Raises:
        InvalidArgumentError: a metadata value or a number is none that can be stored.
    """
    interval = None
    if message.HasField("sync_interval"):
        interval = _seconds(message.sync_interval, "source.sync_interval")
    return Source(
        name=message.name,
        kind=_known(SourceKind, message.kind, "source.kind"),
        location=message.location.rstrip("/") if len(message.location) > 1 else message.location,
        urls=tuple(message.urls),
        collection=message.collection or "default",
        rules=tuple(_rule(rule, index) for index, rule in enumerate(message.rules)),
        acl=tuple(message.acl),
        metadata=_metadata(message.metadata, "source.metadata"),
        priority=priority_from_proto(message.priority, "source.priority"),
        on_removal=_known(
            RemovalPolicy,
            message.on_removal or RemovalPolicy.DELETE,
            "source.on_removal",
        ),
        sync_interval_seconds=interval,
        owner=message.owner,
        credentials=message.credentials,
        is_paused=message.is_paused,
    )


def _rule(message: pb.SourceRule, index: int) -> Rule:
    where = f"source.rules[{index}]"
    priority = on_removal = None
    if message.priority:
        priority = priority_from_proto(message.priority, f"{where}.priority")
    if message.on_removal:
        on_removal = _known(RemovalPolicy, message.on_removal, f"{where}.on_removal")
    return Rule(
        pattern=message.pattern,
        is_excluded=message.is_excluded,
        acl=tuple(message.acl),
        metadata=_metadata(message.metadata, f"{where}.metadata"),
        collection=message.collection,
        priority=priority,
        on_removal=on_removal,
    )


def _known(kind: type[E], number: int, field: str) -> E:
    try:
        return kind(number)
    except ValueError:
        names = ", ".join(f"{each.name} ({each.value})" for each in kind)
        raise InvalidArgumentError.for_field(field, f"must be one of {names}") from None


def _metadata(
    messages: Mapping[str, metadata_pb2.MetadataValue], field: str
) -> dict[str, Value | None]:
    return {
        name: value_from_proto(messages[name], f"{field}[{name[:100]!r}]")
        for name in sorted(messages)
    }


def _seconds(message: Duration, field: str) -> float:
    if abs(message.seconds) > _MAX_DURATION_SECONDS or abs(message.nanos) >= 10**9:
        raise InvalidArgumentError.for_field(field, "is no length of time that is allowed")
    return message.seconds + message.nanos / 1e9


def source_to_proto(source: Source) -> pb.Source:
    """Returns the message of a source."""
    message = pb.Source(
        name=source.name,
        kind=_number(source.kind),
        location=source.location,
        urls=source.urls,
        collection=source.collection,
        rules=[_rule_to_proto(rule) for rule in source.rules],
        acl=source.acl,
        metadata={name: value_to_proto(value) for name, value in source.metadata.items()},
        priority=_number(source.priority),
        on_removal=_number(source.on_removal),
        owner=source.owner,
        credentials=source.credentials,
        is_paused=source.is_paused,
    )
    if source.sync_interval_seconds is not None:
        message.sync_interval.CopyFrom(duration(source.sync_interval_seconds))
    return message


def _rule_to_proto(rule: Rule) -> pb.SourceRule:
    return pb.SourceRule(
        pattern=rule.pattern,
        is_excluded=rule.is_excluded,
        acl=rule.acl,
        metadata={name: value_to_proto(value) for name, value in rule.metadata.items()},
        collection=rule.collection,
        priority=_number(rule.priority),
        on_removal=_number(rule.on_removal),
    )


def _number(value: enum.IntEnum | None) -> Any:
    """Returns the number that the contract has for a value; 0: not stated."""
    return 0 if value is None else int(value)


def status_to_proto(status: SourceStatus) -> pb.SourceStatus:
    """Returns the message of a source's state."""
    message = pb.SourceStatus(
        state=_number(status.state),
        item_count=status.item_count,
        failed_count=status.failed_count,
        pending_count=status.pending_count,
        requested_sync_number=status.requested_sync_number,
        created_at=timestamp(status.created_us),
        updated_at=timestamp(status.updated_us),
    )
    if status.report is not None:
        message.report.CopyFrom(_report_to_proto(status.report))
    if status.next_sync_us:
        message.next_sync_at.CopyFrom(timestamp(status.next_sync_us))
    if status.last_success_us:
        message.last_success_at.CopyFrom(timestamp(status.last_success_us))
    return message


def _report_to_proto(report: SyncReport) -> pb.SyncReport:
    message = pb.SyncReport(
        sync_number=report.sync_number,
        started_at=timestamp(report.started_us),
        item_count=report.item_count,
        submitted_count=report.submitted_count,
        unchanged_count=report.unchanged_count,
        excluded_count=report.excluded_count,
        removed_count=report.removed_count,
        deleted_count=report.deleted_count,
        failed_count=report.failed_count,
    )
    if report.ended_us:
        message.ended_at.CopyFrom(timestamp(report.ended_us))
    if report.problem is not None:
        message.failure.CopyFrom(problem_to_proto(report.problem))
    return message


def problem_to_proto(problem: Problem) -> pb.JobFailure:
    """Returns the message of why an item or a source failed."""
    return pb.JobFailure(
        reason=problem.reason,
        message=problem.message,
        stage=pb.STAGE_RECEIVED,
        is_retryable=problem.is_retryable,
    )


def item_to_proto(item: StoredItem) -> pb.SourceItem:
    """Returns the message of an item."""
    message = pb.SourceItem(
        path=item.path,
        collection=item.collection,
        document_id=item.document_id,
        job_id=item.job_id,
        size_bytes=item.size_bytes,
    )
    if item.modified_us:
        message.modified_at.CopyFrom(timestamp(item.modified_us))
    if item.submitted_us:
        message.submitted_at.CopyFrom(timestamp(item.submitted_us))
    if item.problem is not None:
        message.failure.CopyFrom(problem_to_proto(item.problem))
    return message


def enrichment_from_proto(message: pb.EnrichmentSettings) -> EnrichmentSettings:
    """Returns the settings.

    Raises:
        InvalidArgumentError: a number stands for nothing.
    """
    return EnrichmentSettings(
        detect_language=message.detect_language,
        detect_dates=message.detect_dates,
        personal_data=_known(
            PersonalDataPolicy,
            message.personal_data or PersonalDataPolicy.OFF,
            "settings.personal_data",
        ),
        hooks=tuple(message.hooks),
        on_hook_failure=_known(
            HookFailurePolicy,
            message.on_hook_failure or HookFailurePolicy.FAIL,
            "settings.on_hook_failure",
        ),
    )


def enrichment_to_proto(settings: EnrichmentSettings) -> pb.EnrichmentSettings:
    """Returns the message of enrichment settings."""
    return pb.EnrichmentSettings(
        detect_language=settings.detect_language,
        detect_dates=settings.detect_dates,
        personal_data=_number(settings.personal_data),
        hooks=settings.hooks,
        on_hook_failure=_number(settings.on_hook_failure),
    )
