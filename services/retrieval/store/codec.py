"""Values to the JSON text that columns hold, and back."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from services.filters.values import FieldType, Timestamp, Value
from services.retrieval.collections import (
    AclPolicy,
    CollectionSettings,
    IndexParameters,
    IndexType,
    SchemaPolicy,
    Tier,
    TierPolicy,
)

_TIMESTAMP_KEY = "t"
_SHORT_ACL_ENTRIES = 8
_SHORT_ACL_CHARACTERS = 512
_SHORT_KEYWORD_CHARACTERS = 64


def dump_metadata(metadata: Mapping[str, Value | None]) -> str:
    """Returns the metadata as JSON; its types can be told apart again."""
    # The names, and most values, are those of the documents before.
    parts = [_dump_name(name) + _dump_value(value) for name, value in metadata.items()]
    return f"{{{','.join(parts)}}}"


def _dump_value(value: Value | None) -> str:
    if type(value) is int:  # True is one, too, to isinstance
        return str(value)
    if isinstance(value, str) and len(value) <= _SHORT_KEYWORD_CHARACTERS:
        return _remembered(value)
    if isinstance(value, frozenset) and len(value) <= _SHORT_ACL_ENTRIES:
        return _remembered(value)
    return _dump(value)


def load_metadata(text: str) -> dict[str, Value | None]:
    """Returns the metadata that `dump_metadata` wrote."""
    return {name: _decode(value) for name, value in json.loads(text).items()}


def dump_acl(acl: tuple[str, ...]) -> str:
    """Returns an access list as JSON; most documents share a few short ones."""
    return _dump_short(acl) if len(acl) <= _SHORT_ACL_ENTRIES else _dump(list(acl))


def load_acl(text: str) -> tuple[str, ...]:
    """Returns the access list that `dump_acl` wrote."""
    return _load_short(text) if len(text) <= _SHORT_ACL_CHARACTERS else load_texts(text)


@functools.lru_cache(maxsize=1024)
def _dump_name(name: str) -> str:
    return _dump(name) + ":"


@functools.lru_cache(maxsize=4096)
def _remembered(value: str | frozenset[str]) -> str:
    return _dump(value)


@functools.lru_cache(maxsize=1024)
def _dump_short(acl: tuple[str, ...]) -> str:
    return _dump(list(acl))


@functools.lru_cache(maxsize=1024)
def _load_short(text: str) -> tuple[str, ...]:
    return load_texts(text)


def dump_texts(texts: Iterable[str]) -> str:
    """Returns a list of texts as JSON."""
    return _dump(list(texts))


def load_texts(text: str) -> tuple[str, ...]:
    """Returns the texts that `dump_texts` wrote."""
    return tuple(json.loads(text)) if text != "[]" else ()


def dump_fields(fields: Mapping[str, FieldType]) -> str:
    """Returns the fields' types as JSON."""
    return _dump({name: int(kind) for name, kind in sorted(fields.items())})


def load_fields(text: str) -> dict[str, FieldType]:
    """Returns the types that `dump_fields` wrote."""
    return {name: FieldType(kind) for name, kind in json.loads(text).items()}


def dump_settings(settings: CollectionSettings) -> str:
    """Returns the settings as they were declared, as JSON."""
    return _dump(
        {
            "dimensions": settings.dimensions,
            "embedding_model": settings.embedding_model,
            "embedding_model_revision": settings.embedding_model_revision,
            "fields": {name: int(kind) for name, kind in sorted(settings.fields.items())},
            "index_type": int(settings.index_type),
            "acl_policy": int(settings.acl_policy),
            "language": settings.language,
            "description": settings.description,
            **_changeable(settings),
        }
    )


def _changeable(settings: CollectionSettings) -> dict[str, Any]:
    """Returns the later settings that are not at their defaults."""
    found: dict[str, Any] = {}
    if settings.index_parameters != IndexParameters():
        found["index_parameters"] = asdict(settings.index_parameters)
    if settings.tier is not Tier.AUTO:
        found["tier"] = int(settings.tier)
    if settings.tier_policy != TierPolicy():
        found["tier_policy"] = asdict(settings.tier_policy)
    if settings.schema_policy is not SchemaPolicy.INFERRED:
        found["schema_policy"] = int(settings.schema_policy)
    return found


def load_settings(text: str, fields: Mapping[str, FieldType]) -> CollectionSettings:
    """Returns the settings that `dump_settings` wrote, with the fields known by now."""
    found = json.loads(text)
    return CollectionSettings(
        dimensions=found["dimensions"],
        embedding_model=found["embedding_model"],
        embedding_model_revision=found["embedding_model_revision"],
        fields=fields,
        index_type=IndexType(found["index_type"]),
        acl_policy=AclPolicy(found["acl_policy"]),
        language=found["language"],
        description=found["description"],
        index_parameters=IndexParameters(**found.get("index_parameters", {})),
        tier=Tier(found.get("tier", Tier.AUTO)),
        tier_policy=TierPolicy(**found.get("tier_policy", {})),
        schema_policy=SchemaPolicy(found.get("schema_policy", SchemaPolicy.INFERRED)),
    )


def _dump(value: Any) -> str:
    return _ENCODER.encode(value)


def _encode(value: Any) -> Any:
    """Returns what JSON has for a value that it does not know."""
    if isinstance(value, Timestamp):
        return {_TIMESTAMP_KEY: value.micros}
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"no metadata value: {type(value).__name__}")


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_encode)


def _decode(value: Any) -> Value | None:
    if isinstance(value, dict):
        return Timestamp(value[_TIMESTAMP_KEY])
    if isinstance(value, list):
        return frozenset(value)
    return value
