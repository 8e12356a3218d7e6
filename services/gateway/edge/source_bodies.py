"""Bodies of requests about sources, web addresses and enrichment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.edge.bodies import Body, MetadataValue, read_metadata
from services.gateway.sources import MAX_URLS, Enrichment, Source, SourceRule

Priority = Literal["low", "normal", "high"]
Removal = Literal["delete", "keep"]


class FetchDocumentsBody(Body):
    """Documents to fetch."""

    urls: list[str] = Field(min_length=1, max_length=MAX_URLS)
    """Addresses: http or https, no credentials in them."""
    collection: str = ""
    metadata: dict[str, MetadataValue] = Field(default_factory=dict, max_length=128)
    acl: list[str] = Field(default_factory=list, max_length=256)
    """Principals who may read them; empty: as the collection's policy says."""


class SourceRuleBody(Body):
    """What holds for items whose path matches; the first rule that matches applies."""

    pattern: str
    """Glob on the path: "*" stays within a folder, "**" does not; without "/": on the name."""
    is_excluded: bool = False
    """Whether items that match are left out."""
    acl: list[str] = Field(default_factory=list, max_length=256)
    """Principals who may read the documents; empty: as the source says."""
    metadata: dict[str, MetadataValue] = Field(default_factory=dict, max_length=128)
    collection: str = ""
    priority: Priority | None = None
    on_removal: Removal | None = None

    def rule(self, path: str) -> SourceRule:
        """Returns the rule.

        Raises:
            InvalidArgumentError: a metadata value cannot be stored.
        """
        return SourceRule(
            pattern=self.pattern,
            is_excluded=self.is_excluded,
            acl=tuple(self.acl),
            metadata=read_metadata(self.metadata, f"{path}.metadata"),
            collection=self.collection,
            priority=self.priority or "",
            on_removal=self.on_removal or "",
        )


class SourceBody(Body):
    """A source, whole."""

    kind: Literal["folder", "url", "object_store"]
    location: str = ""
    """A folder's absolute path, or "s3://bucket/prefix"."""
    urls: list[str] = Field(default_factory=list, max_length=1_000)
    """Addresses, for kind "url"."""
    collection: str = ""
    rules: list[SourceRuleBody] = Field(default_factory=list, max_length=100)
    acl: list[str] = Field(default_factory=list, max_length=256)
    """Principals who may read the documents; empty: as the collection's policy says."""
    metadata: dict[str, MetadataValue] = Field(default_factory=dict, max_length=128)
    priority: Priority | None = None
    on_removal: Removal | None = None
    """What becomes of documents whose items are gone; null: they are deleted."""
    sync_interval_seconds: float | None = Field(default=None, ge=1, le=31_622_400)
    """How often it is looked at; null: only when asked."""
    owner: str = ""
    """Metadata field "owner" of the documents."""
    credentials: str = ""
    """Name of the credentials that the service is set up with, for kind "object_store"."""
    is_paused: bool = False

    def source(self, name: str) -> Source:
        """Returns the source.

        Raises:
            InvalidArgumentError: a metadata value cannot be stored.
        """
        return Source(
            name=name,
            kind=self.kind,
            location=self.location,
            urls=tuple(self.urls),
            collection=self.collection,
            rules=tuple(each.rule(f"rules[{index}]") for index, each in enumerate(self.rules)),
            acl=tuple(self.acl),
            metadata=read_metadata(self.metadata, "metadata"),
            priority=self.priority or "",
            on_removal=self.on_removal or "",
            sync_interval_seconds=self.sync_interval_seconds,
            owner=self.owner,
            credentials=self.credentials,
            is_paused=self.is_paused,
        )


class SyncBody(Body):
    """What a synchronisation does."""

    paths: list[str] = Field(default_factory=list, max_length=1_000)
    """Items that were created, changed or removed; empty: look at everything."""
    is_full: bool = False
    """Whether items are read and submitted although they look unchanged."""
    allow_empty: bool = False
    """Whether a source that is found empty is believed, and its documents are deleted."""


class EnrichmentBody(Body):
    """What is found out about the documents of a collection."""

    detect_language: bool = False
    detect_dates: bool = False
    personal_data: Literal["off", "hash", "replace"] = "off"
    hooks: list[str] = Field(default_factory=list, max_length=10)
    """Functions that the service is set up with, in the order they are called."""
    on_hook_failure: Literal["fail", "skip"] = "fail"

    def enrichment(self) -> Enrichment:
        """Returns the settings."""
        return Enrichment(
            detect_language=self.detect_language,
            detect_dates=self.detect_dates,
            personal_data=self.personal_data,
            hooks=tuple(self.hooks),
            on_hook_failure=self.on_hook_failure,
        )
