"""What a source must look like. Errors name the field and say how to mend it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.ingestion.sources.glob import MAX_PATTERN_CHARACTERS
from services.ingestion.sources.model import Rule, Source, SourceKind
from services.ingestion.sources.placement import SOURCE_FIELD
from services.ingestion.sources.web_address import AddressRefusedError, check_url
from services.ingestion.validation import (
    MAX_URI_CHARACTERS,
    check_acl,
    check_collection,
    check_metadata,
    check_text,
)
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, Reason

MAX_RULES = 100
MAX_URLS = 1000
MIN_INTERVAL_SECONDS = 1.0
MAX_INTERVAL_SECONDS = 366 * 86400.0
_MAX_OWNER_CHARACTERS = 256


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the service is set up to read from."""

    folders: Sequence[Path] = ()
    protocols: Collection[str] = ()
    credentials: Collection[str] = ()


def check_source(source: Source, allowed: Allowed) -> Source:
    """Returns the source with repeated principals removed.

    Raises:
        InvalidArgumentError: something in it is malformed.
        FailedPreconditionError: the service is not set up to read from there.
    """
    check_collection(source.name, "source.name")
    check_collection(source.collection, "source.collection")
    check_text(source.owner, _MAX_OWNER_CHARACTERS, "source.owner")
    check_text(source.credentials, _MAX_OWNER_CHARACTERS, "source.credentials")
    check_text(source.location, MAX_URI_CHARACTERS, "source.location")
    check_metadata(source.metadata, "source.metadata")
    _check_reserved(source.metadata, "source.metadata")
    seconds = source.sync_interval_seconds
    if seconds is not None and not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise InvalidArgumentError.for_field(
            "source.sync_interval", "must be between 1 second and 366 days; leave it out for none"
        )
    if len(source.rules) > MAX_RULES:
        raise InvalidArgumentError.for_field(
            "source.rules",
            f"has {len(source.rules)} entries, {MAX_RULES} are allowed",
            Reason.TOO_LARGE,
        )
    _KIND_CHECKS[source.kind](source, allowed)
    rules = tuple(_checked_rule(each, index) for index, each in enumerate(source.rules))
    return dataclasses.replace(source, acl=check_acl(source.acl, "source.acl"), rules=rules)


def _checked_rule(rule: Rule, index: int) -> Rule:
    where = f"source.rules[{index}]"
    check_text(rule.pattern, MAX_PATTERN_CHARACTERS, f"{where}.pattern")
    if not rule.pattern:
        raise InvalidArgumentError.for_field(
            f"{where}.pattern", "is empty; '**' matches every path"
        )
    if rule.collection:
        check_collection(rule.collection, f"{where}.collection")
    check_metadata(rule.metadata, f"{where}.metadata")
    _check_reserved(rule.metadata, f"{where}.metadata")
    return dataclasses.replace(rule, acl=check_acl(rule.acl, f"{where}.acl"))


def _check_reserved(metadata: Collection[str], field: str) -> None:
    if SOURCE_FIELD in metadata:
        raise InvalidArgumentError.for_field(
            f"{field}['{SOURCE_FIELD}']", "is set to the source's name; use another field"
        )


def _check_folder(source: Source, allowed: Allowed) -> None:
    _refuse_others(source, ("urls", "credentials"))
    path = Path(source.location)
    if not path.is_absolute() or ".." in path.parts:
        raise InvalidArgumentError.for_field(
            "source.location", "must be an absolute path without '..'"
        )
    if not any(path.is_relative_to(each) for each in allowed.folders):
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED,
            "source.location: the service does not read this folder; an operator names the "
            "folders that it may read in CAIRN_INGESTION_SOURCE_FOLDERS",
        )


def _check_urls(source: Source, _: Allowed) -> None:
    _refuse_others(source, ("location", "credentials"))
    if not source.urls:
        raise InvalidArgumentError.for_field("source.urls", "is empty; give one address or more")
    if len(source.urls) > MAX_URLS:
        raise InvalidArgumentError.for_field(
            "source.urls", f"has {len(source.urls)} entries, {MAX_URLS} are allowed",
            Reason.TOO_LARGE,
        )  # fmt: skip
    for index, url in enumerate(source.urls):
        check_address(url, f"source.urls[{index}]")
    if len(set(source.urls)) != len(source.urls):
        raise InvalidArgumentError.for_field("source.urls", "names an address twice")


def check_address(url: str, field: str) -> None:
    """Refuses what is no web address that could be fetched.

    Raises:
        InvalidArgumentError: it is malformed, or names an address inside the network.
    """
    check_text(url, MAX_URI_CHARACTERS, field)
    try:
        check_url(url)
    except AddressRefusedError as error:
        raise InvalidArgumentError.for_field(field, str(error)) from None


def _check_object_store(source: Source, allowed: Allowed) -> None:
    _refuse_others(source, ("urls",))
    try:
        parts = urlsplit(source.location)
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidArgumentError.for_field(
            "source.location", "must look like s3://bucket/prefix, without credentials"
        )
    if parts.scheme not in allowed.protocols:
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED,
            f"source.location: the service is set up for {', '.join(allowed.protocols) or 'no'} "
            "stores; see CAIRN_INGESTION_SOURCE_PROTOCOLS",
        )
    if source.credentials and source.credentials not in allowed.credentials:
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED,
            "source.credentials: the service knows no credentials of this name; see "
            "CAIRN_INGESTION_SOURCE_CREDENTIALS",
        )


def _refuse_others(source: Source, names: Sequence[str]) -> None:
    for name in names:
        if getattr(source, name):
            raise InvalidArgumentError.for_field(
                f"source.{name}", f"does not apply to a source of kind {source.kind.name}"
            )


_KIND_CHECKS = {
    SourceKind.FOLDER: _check_folder,
    SourceKind.URL: _check_urls,
    SourceKind.OBJECT_STORE: _check_object_store,
}
