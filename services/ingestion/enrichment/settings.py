"""What is found out about the documents of a collection."""

from __future__ import annotations

import enum
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, Reason

MAX_HOOKS = 10


class PersonalDataPolicy(enum.IntEnum):
    """What is done with personal identifiers; numbered as in the contract."""

    OFF = 1
    HASH = 2
    REPLACE = 3


class HookFailurePolicy(enum.IntEnum):
    """What becomes of a document when a hook fails; numbered as in the contract."""

    FAIL = 1
    SKIP = 2


@dataclass(frozen=True, slots=True)
class EnrichmentSettings:
    """What is looked for."""

    detect_language: bool = False
    detect_dates: bool = False
    personal_data: PersonalDataPolicy = PersonalDataPolicy.OFF
    hooks: tuple[str, ...] = ()
    """Names of functions that the service is set up with, in the order they are called."""
    on_hook_failure: HookFailurePolicy = HookFailurePolicy.FAIL

    @property
    def is_off(self) -> bool:
        """Whether there is nothing to do."""
        is_hashing = self.personal_data is not PersonalDataPolicy.OFF
        return not (self.detect_language or self.detect_dates or is_hashing or self.hooks)


def to_json(settings: EnrichmentSettings) -> str:
    """Returns the settings for storing."""
    return json.dumps(asdict(settings))


def from_json(text: str) -> EnrichmentSettings:
    """Reads what `to_json` wrote."""
    plain: dict[str, Any] = json.loads(text)
    return EnrichmentSettings(
        detect_language=plain["detect_language"],
        detect_dates=plain["detect_dates"],
        personal_data=PersonalDataPolicy(plain["personal_data"]),
        hooks=tuple(plain["hooks"]),
        on_hook_failure=HookFailurePolicy(plain["on_hook_failure"]),
    )


def check_settings(
    settings: EnrichmentSettings, *, known_hooks: Collection[str], has_key: bool
) -> None:
    """Refuses settings that the service cannot carry out.

    Raises:
        InvalidArgumentError: a hook is not known, or named twice.
        FailedPreconditionError: there is no key to hash personal identifiers with.
    """
    if len(settings.hooks) > MAX_HOOKS:
        raise InvalidArgumentError.for_field(
            "settings.hooks", f"has {len(settings.hooks)} entries, {MAX_HOOKS} are allowed"
        )
    for index, name in enumerate(settings.hooks):
        if name not in known_hooks:
            known = ", ".join(sorted(known_hooks)) or "none"
            raise InvalidArgumentError.for_field(
                f"settings.hooks[{index}]", f"is not one that the service is set up with: {known}"
            )
        if name in settings.hooks[:index]:
            raise InvalidArgumentError.for_field(f"settings.hooks[{index}]", "is named twice")
    if settings.personal_data is not PersonalDataPolicy.OFF and not has_key:
        raise FailedPreconditionError(
            Reason.NOT_SUPPORTED,
            "settings.personal_data: hashing needs a key that all processes share; set "
            "CAIRN_INGESTION_PERSONAL_DATA_KEY",
        )
