"""Who would answer now: models, engines and the prompts' version."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from services.rpc.deadline import deadline_in

if TYPE_CHECKING:
    from services.rpc.scope import Scope

REFRESH_SECONDS = 5.0
"""Other models or prompts are noticed after this time at the latest."""
_ASK_SECONDS = 0.5


class IdentitySource(Protocol):
    """Knows which models answer."""

    async def identity(self, scope: Scope) -> str:
        """Returns a text that changes with the models, their engines and their prompts."""
        ...


class EngineIdentity:
    """Remembers who answers, for a short time, by class of tenant.

    Args:
        source: The generation service.
        clock: Monotonic seconds.
    """

    def __init__(self, source: IdentitySource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._known: dict[int, tuple[float, str]] = {}

    async def read(self, scope: Scope) -> str:
        """Returns who would answer a request of the scope.

        Raises:
            ServiceError: the generation service does not answer.
        """
        known = self._known.get(int(scope.tenant_class))
        if known is not None and self._clock() < known[0]:
            return known[1]
        with deadline_in(_ASK_SECONDS):
            identity = await self._source.identity(scope)
        self._known[int(scope.tenant_class)] = (self._clock() + REFRESH_SECONDS, identity)
        return identity
