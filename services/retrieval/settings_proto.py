"""Settings of collections, and quotas, from their messages: checked field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import metadata_pb2

from services.filters.values import FieldType
from services.retrieval import checks, limits
from services.retrieval.collections import (
    AclPolicy,
    CollectionSettings,
    IndexParameters,
    IndexType,
    SchemaPolicy,
    Tier,
    TierPolicy,
)
from services.retrieval.keyword.analysis import LANGUAGES
from services.retrieval.store.counts import Quota
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

RESERVED_FIELDS = frozenset({"document_id", "uri"})
"""Names that filters understand without any metadata."""
_DEFAULT_LANGUAGE = "english"
_CHANGEABLE = frozenset(
    {
        *("index_type", "index_parameters", "tier", "tier_policy"),
        *("schema_policy", "description", "fields"),
    }
)
"""Settings that may change while a collection is in use."""


def settings(message: pb.CollectionSettings) -> CollectionSettings:
    """Returns the settings of a collection to create."""
    path = "settings"
    if not 1 <= message.dimensions <= limits.MAX_DIMENSIONS:
        raise InvalidArgumentError.for_field(
            f"{path}.dimensions", f"must be 1 to {limits.MAX_DIMENSIONS}, not {message.dimensions}"
        )
    checks.size(len(message.fields), limits.MAX_FIELDS, f"{path}.fields", "fields")
    fields = {
        field_name(name, f"{path}.fields"): _field_type(kind, f"{path}.fields[{name!r}]")
        for name, kind in message.fields.items()
        if kind != metadata_pb2.FIELD_TYPE_UNSPECIFIED
    }
    language = message.language or _DEFAULT_LANGUAGE
    if language not in LANGUAGES | {"none"}:
        known = ", ".join(sorted(LANGUAGES))
        raise InvalidArgumentError.for_field(
            f"{path}.language", f'must be "none" or one of {known}'
        )
    return CollectionSettings(
        dimensions=message.dimensions,
        embedding_model=checks.text(
            message.embedding_model, f"{path}.embedding_model", limits.MAX_MODEL_NAME_CHARACTERS
        ),
        embedding_model_revision=checks.text(
            message.embedding_model_revision,
            f"{path}.embedding_model_revision",
            limits.MAX_MODEL_NAME_CHARACTERS,
        ),
        fields=fields,
        index_type=index_type(message.index_type, f"{path}.index_type"),
        index_parameters=index_parameters(
            message.index_parameters, message.dimensions, f"{path}.index_parameters"
        ),
        acl_policy=checks.choice(
            AclPolicy, message.acl_policy, f"{path}.acl_policy", AclPolicy.EVERYONE_BY_DEFAULT
        ),
        language=language,
        description=checks.text(
            message.description, f"{path}.description", limits.MAX_DESCRIPTION_CHARACTERS
        ),
        tier=checks.choice(Tier, message.tier, f"{path}.tier", Tier.AUTO),
        tier_policy=_tier_policy(message.tier_policy, f"{path}.tier_policy"),
        schema_policy=checks.choice(
            SchemaPolicy,
            message.schema_policy,
            f"{path}.schema_policy",
            SchemaPolicy.INFERRED,
        ),
    )


def settings_change(
    message: pb.CollectionSettings, paths: Sequence[str]
) -> Callable[[CollectionSettings], CollectionSettings]:
    """Returns what changes the settings that the mask names.

    Raises:
        InvalidArgumentError: nothing is named, something that cannot change is, or a value is
            wrong; the returned function refuses what does not fit the old settings.
    """
    if not paths:
        raise InvalidArgumentError.for_field("update_mask", "must name what to change")
    for path in paths:
        if path not in _CHANGEABLE:
            known = ", ".join(sorted(_CHANGEABLE))
            raise InvalidArgumentError.for_field(
                "update_mask", f"{path[:40]!r} cannot be changed: name some of {known}"
            )
    whole = pb.CollectionSettings()
    whole.CopyFrom(message)
    # What is not named is not looked at; dimensions are the collection's own.
    for each in pb.CollectionSettings.DESCRIPTOR.fields:
        if each.name not in paths:
            whole.ClearField(each.name)

    def change(old: CollectionSettings) -> CollectionSettings:
        whole.dimensions = old.dimensions
        new = settings(whole)
        changes = {name: getattr(new, name) for name in paths}
        if "fields" in changes:
            changes["fields"] = _with_declared(old.fields, new.fields)
        return replace(old, **changes)

    settings_once = pb.CollectionSettings()
    settings_once.CopyFrom(whole)
    settings_once.dimensions = 1
    settings_once.index_parameters.code_bytes = 0
    settings(settings_once)
    return change


def index_change(
    request: pb.OptimizeCollectionRequest,
) -> Callable[[CollectionSettings], CollectionSettings] | None:
    """Returns what changes the kind of index and its parameters; None when neither is given."""
    kind = index_type(request.index_type, "index_type")
    has_parameters = request.HasField("index_parameters")
    if kind is IndexType.AUTO and not has_parameters:
        return None

    def change(old: CollectionSettings) -> CollectionSettings:
        parameters = old.index_parameters
        if has_parameters:
            parameters = index_parameters(
                request.index_parameters, old.dimensions, "index_parameters"
            )
        return replace(old, index_type=kind or old.index_type, index_parameters=parameters)

    return change


def _with_declared(
    known: Mapping[str, FieldType], declared: Mapping[str, FieldType]
) -> dict[str, FieldType]:
    for name, kind in declared.items():
        if known.get(name, kind) is not kind:
            raise InvalidArgumentError.for_field(
                f"settings.fields[{name!r}]",
                f"the field holds {known[name].name}: a field's type never changes",
                Reason.TYPE_CONFLICT,
            )
    merged = {**known, **declared}
    checks.size(len(merged), limits.MAX_FIELDS, "settings.fields", "fields")
    return merged


def index_type(value: int, path: str) -> IndexType:
    """Returns the kind of an index; 0: as the service chooses."""
    return checks.choice(IndexType, value, path, IndexType.AUTO)


def index_parameters(message: pb.IndexParameters, dimensions: int, path: str) -> IndexParameters:
    """Returns the parameters of an index over vectors of some dimensions."""
    values = {
        name: checks.number(getattr(message, name), f"{path}.{name}", low, high, 0)
        for name, (low, high) in limits.INDEX_PARAMETERS.items()
    }
    if values["code_bytes"] and dimensions % values["code_bytes"]:
        raise InvalidArgumentError.for_field(
            f"{path}.code_bytes",
            f"{values['code_bytes']} does not divide the {dimensions} dimensions",
        )
    return IndexParameters(**values)


def _tier_policy(message: pb.TierPolicy, path: str) -> TierPolicy:
    return TierPolicy(
        duration(message.warm_after, f"{path}.warm_after")
        if message.HasField("warm_after")
        else None,
        duration(message.cold_after, f"{path}.cold_after")
        if message.HasField("cold_after")
        else None,
    )


def duration(message: Duration, path: str) -> float:
    """Returns a positive length of time in seconds."""
    seconds = message.seconds + message.nanos / 1e9
    if not 0 < seconds <= limits.MAX_SECONDS:
        raise InvalidArgumentError.for_field(
            path, f"must be more than 0 s and at most {limits.MAX_SECONDS} s"
        )
    return seconds


def quota(message: pb.Quota) -> Quota:
    """Returns what a tenant may store."""
    return Quota(
        _bound(message.max_vectors, "quota.max_vectors")
        if message.HasField("max_vectors")
        else None,
        _bound(message.max_bytes, "quota.max_bytes") if message.HasField("max_bytes") else None,
    )


def _bound(value: int, path: str) -> int:
    if value < 0:
        raise InvalidArgumentError.for_field(path, "must not be negative")
    return value


def field_name(name: str, path: str) -> str:
    """Returns the name of a metadata field."""
    at = f"{path}[{name[:40]!r}]"
    checks.text(name, at, limits.MAX_FIELD_NAME_CHARACTERS, is_required=True)
    if name in RESERVED_FIELDS:
        raise InvalidArgumentError.for_field(at, "is a built-in field: choose another name")
    return name


def _field_type(kind: int, path: str) -> FieldType:
    return checks.choice(FieldType, kind, path, FieldType.KEYWORD)
