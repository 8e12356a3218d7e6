"""Sources, deletions and enrichment settings as JSON, and the description of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.gateway.edge.render import render_metadata, render_time
from services.gateway.edge.views import View

if TYPE_CHECKING:
    from services.gateway.sources import (
        DeleteResult,
        Enrichment,
        Failure,
        SourceEntry,
        SourceItem,
        SourceRule,
        SourceStatus,
    )

Json = dict[str, Any]


class DeletedView(View):
    """What was deleted."""

    deleted_count: int
    stopped_job_count: int
    """Jobs of the deleted documents that were still under way."""
    remaining_count: int
    """Documents that a second look still found; 0: they are gone."""
    is_verified: bool
    """Whether the second look was made at the index, too."""


class FailureView(View):
    """Why something failed."""

    reason: str
    message: str
    is_retryable: bool


class SourceRuleView(View):
    """What holds for items whose path matches; null and empty: as the source says."""

    pattern: str
    is_excluded: bool
    acl: list[str]
    metadata: dict[str, Any]
    collection: str
    priority: str | None
    on_removal: str | None


class SyncReportView(View):
    """Figures of one synchronisation."""

    sync_number: int
    started_at: str | None
    ended_at: str | None
    item_count: int
    submitted_count: int
    unchanged_count: int
    excluded_count: int
    removed_count: int
    deleted_count: int
    failed_count: int
    failure: FailureView | None


class SourceStatusView(View):
    """State of a source."""

    state: str
    report: SyncReportView | None
    next_sync_at: str | None
    item_count: int
    failed_count: int
    pending_count: int
    last_success_at: str | None
    requested_sync_number: int
    created_at: str | None
    updated_at: str | None


class SourceView(View):
    """A source."""

    name: str
    kind: str
    location: str
    urls: list[str]
    collection: str
    rules: list[SourceRuleView]
    acl: list[str]
    metadata: dict[str, Any]
    priority: str | None
    on_removal: str | None
    sync_interval_seconds: float | None
    owner: str
    credentials: str
    is_paused: bool
    status: SourceStatusView


class OneSourceView(View):
    """A source with its state."""

    source: SourceView


class SourcesView(View):
    """A page of sources."""

    sources: list[SourceView]
    next_page_token: str


class SourceItemView(View):
    """One item of a source."""

    path: str
    collection: str
    document_id: str
    job_id: str
    size_bytes: int
    modified_at: str | None
    submitted_at: str | None
    failure: FailureView | None


class SourceItemsView(View):
    """A page of items."""

    items: list[SourceItemView]
    next_page_token: str


class SyncView(View):
    """The synchronisation that was asked for."""

    sync_number: int
    status: SourceStatusView


class SourceDeletedView(View):
    """The source is gone."""

    deleted_count: int


class EnrichmentView(View):
    """What is found out about the documents of a collection."""

    detect_language: bool
    detect_dates: bool
    personal_data: str
    hooks: list[str]
    on_hook_failure: str
    is_own: bool
    """Whether the collection has settings of its own; else they are the service's."""
    available_hooks: list[str]


def render_deleted(deleted: DeleteResult) -> Json:
    """Returns what was deleted."""
    return {
        "deleted_count": deleted.deleted_count,
        "stopped_job_count": deleted.stopped_job_count,
        "remaining_count": deleted.remaining_count,
        "is_verified": deleted.is_verified,
    }


def render_source(entry: SourceEntry) -> Json:
    """Returns a source with its state."""
    source = entry.source
    return {
        "name": source.name,
        "kind": source.kind,
        "location": source.location,
        "urls": list(source.urls),
        "collection": source.collection,
        "rules": [_rule(each) for each in source.rules],
        "acl": list(source.acl),
        "metadata": render_metadata(source.metadata),
        "priority": source.priority or None,
        "on_removal": source.on_removal or None,
        "sync_interval_seconds": source.sync_interval_seconds,
        "owner": source.owner,
        "credentials": source.credentials,
        "is_paused": source.is_paused,
        "status": render_status(entry.status),
    }


def _rule(rule: SourceRule) -> Json:
    return {
        "pattern": rule.pattern,
        "is_excluded": rule.is_excluded,
        "acl": list(rule.acl),
        "metadata": render_metadata(rule.metadata),
        "collection": rule.collection,
        "priority": rule.priority or None,
        "on_removal": rule.on_removal or None,
    }


def render_status(status: SourceStatus) -> Json:
    """Returns a source's state."""
    report = status.report
    return {
        "state": status.state,
        "report": None
        if report is None
        else {
            "sync_number": report.sync_number,
            "started_at": render_time(report.started_at),
            "ended_at": render_time(report.ended_at),
            **report.counts,
            "failure": _failure(report.failure),
        },
        "next_sync_at": render_time(status.next_sync_at),
        "item_count": status.item_count,
        "failed_count": status.failed_count,
        "pending_count": status.pending_count,
        "last_success_at": render_time(status.last_success_at),
        "requested_sync_number": status.requested_sync_number,
        "created_at": render_time(status.created_at),
        "updated_at": render_time(status.updated_at),
    }


def render_item(item: SourceItem) -> Json:
    """Returns an item of a source."""
    return {
        "path": item.path,
        "collection": item.collection,
        "document_id": item.document_id,
        "job_id": item.job_id,
        "size_bytes": item.size_bytes,
        "modified_at": render_time(item.modified_at),
        "submitted_at": render_time(item.submitted_at),
        "failure": _failure(item.failure),
    }


def render_enrichment(settings: Enrichment) -> Json:
    """Returns enrichment settings."""
    return {
        "detect_language": settings.detect_language,
        "detect_dates": settings.detect_dates,
        "personal_data": settings.personal_data,
        "hooks": list(settings.hooks),
        "on_hook_failure": settings.on_hook_failure,
        "is_own": settings.is_own,
        "available_hooks": list(settings.available_hooks),
    }


def _failure(failure: Failure | None) -> Json | None:
    if failure is None:
        return None
    return {
        "reason": failure.reason,
        "message": failure.message,
        "is_retryable": failure.is_retryable,
    }
