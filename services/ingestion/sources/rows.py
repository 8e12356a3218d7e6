"""Sources and reports as they are stored."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from services.ingestion.document import Priority, metadata_from_json, metadata_to_json
from services.ingestion.sources.model import (
    Problem,
    RemovalPolicy,
    Rule,
    Source,
    SourceKind,
    StoredItem,
    SyncReport,
)

if TYPE_CHECKING:
    from sqlalchemy import Row


def source_to_json(source: Source) -> str:
    """Returns the source for storing."""
    plain = {
        field.name: getattr(source, field.name)
        for field in dataclasses.fields(source)
        if field.name not in {"rules", "metadata"}
    }
    plain["metadata"] = json.loads(metadata_to_json(source.metadata))
    plain["rules"] = [
        {
            "pattern": rule.pattern,
            "is_excluded": rule.is_excluded,
            "acl": rule.acl,
            "metadata": json.loads(metadata_to_json(rule.metadata)),
            "collection": rule.collection,
            "priority": rule.priority,
            "on_removal": rule.on_removal,
        }
        for rule in source.rules
    ]
    return json.dumps(plain)


def source_from_json(text: str) -> Source:
    """Reads what `source_to_json` wrote."""
    plain: dict[str, Any] = json.loads(text)
    plain["kind"] = SourceKind(plain["kind"])
    plain["urls"], plain["acl"] = tuple(plain["urls"]), tuple(plain["acl"])
    plain["priority"] = Priority(plain["priority"])
    plain["on_removal"] = RemovalPolicy(plain["on_removal"])
    plain["metadata"] = metadata_from_json(json.dumps(plain["metadata"]))
    plain["rules"] = tuple(_rule(each) for each in plain["rules"])
    return Source(**plain)


def _rule(plain: dict[str, Any]) -> Rule:
    priority, on_removal = plain["priority"], plain["on_removal"]
    return Rule(
        plain["pattern"],
        is_excluded=plain["is_excluded"],
        acl=tuple(plain["acl"]),
        metadata=metadata_from_json(json.dumps(plain["metadata"])),
        collection=plain["collection"],
        priority=None if priority is None else Priority(priority),
        on_removal=None if on_removal is None else RemovalPolicy(on_removal),
    )


def report_to_json(report: SyncReport) -> str:
    """Returns the report for storing."""
    return json.dumps(dataclasses.asdict(report))


def report_from_json(text: str) -> SyncReport | None:
    """Reads what `report_to_json` wrote; None for an empty text."""
    if not text:
        return None
    plain: dict[str, Any] = json.loads(text)
    if plain["problem"] is not None:
        plain["problem"] = Problem(**plain["problem"])
    return SyncReport(**plain)


def item_from_row(row: Row[Any]) -> StoredItem:
    """Returns the item of a row of the items table."""
    return StoredItem(
        path=row.path,
        collection=row.collection,
        document_id=row.document_id,
        job_id=row.job_id,
        version=row.version,
        digest=row.digest,
        placement=row.placement,
        size_bytes=row.size_bytes,
        modified_us=row.modified_us,
        submitted_us=row.submitted_us,
        problem=Problem(
            row.failure_reason, row.failure_message, is_retryable=bool(row.failure_is_retryable)
        )
        if row.failure_reason
        else None,
    )
