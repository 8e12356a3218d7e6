"""Values to the JSON text that columns hold, and back."""

from __future__ import annotations

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


def dump_metadata(metadata: Mapping[str, Value | None]) -> str:
    """Returns the metadata as JSON; its types can be told apart again."""
    return _dump({name: _encode(value) for name, value in metadata.items()})


def load_metadata(text: str) -> dict[str, Value | None]:
    """Returns the metadata that `dump_metadata` wrote."""
    return {name: _decode(value) for name, value in json.loads(text).items()}


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
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encode(value: Value | None) -> Any:
    if isinstance(value, Timestamp):
        return {_TIMESTAMP_KEY: value.micros}
    if isinstance(value, frozenset):
        return sorted(value)
    return value


def _decode(value: Any) -> Value | None:
    if isinstance(value, dict):
        return Timestamp(value[_TIMESTAMP_KEY])
    if isinstance(value, list):
        return frozenset(value)
    return value
