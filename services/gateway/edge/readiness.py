"""Whether this replica can serve: asks the other services for their health."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from prometheus_client import Gauge

_READY_SECONDS = 1.0
_WAITING_SECONDS = 0.2
REQUIRED = "retrieval"
"""Without it there is no answer at all; the others have a rung below them."""

_UP = Gauge("cairn_gateway_dependency_is_ready", "1 while a dependency answers.", ["dependency"])


class Probe(Protocol):
    """Asks one dependency."""

    async def __call__(self) -> bool:
        """Returns whether it can serve; never raises."""
        ...


class Readiness:
    """Keeps the state of each dependency.

    A replica is ready once every dependency was ready, and stays so while retrieval is: a gateway
    that degrades is better than none.

    Args:
        probes: How to ask each.
    """

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = dict(probes)
        self._states = dict.fromkeys(self._probes, False)
        self._seen = dict.fromkeys(self._probes, False)
        self.is_draining = False

    @property
    def is_ready(self) -> bool:
        """Whether requests should come here."""
        return (
            not self.is_draining and all(self._seen.values()) and self._states.get(REQUIRED, True)
        )

    def view(self) -> dict[str, Any]:
        """Returns the state with the names of what is missing."""
        missing = [name for name, is_ready in self._states.items() if not is_ready]
        if self.is_draining:
            status = "draining"
        elif not self.is_ready:
            status = "not_ready"
        else:
            status = "degraded" if missing else "ready"
        components = {
            name: "ready" if is_ready else "not_ready" for name, is_ready in self._states.items()
        }
        return {"status": status, "not_ready": missing, "components": components}

    def drain(self) -> None:
        """Says from now on that requests should go elsewhere."""
        self.is_draining = True

    @contextlib.asynccontextmanager
    async def running(self, on_change: Callable[[bool], None]) -> AsyncIterator[None]:
        """Asks regularly while the block runs.

        Args:
            on_change: Told whenever the replica becomes ready or not.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._watch(name, on_change)) for name in self._probes]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _watch(self, name: str, on_change: Callable[[bool], None]) -> None:
        probe, gauge = self._probes[name], _UP.labels(name)
        while True:
            before = self.is_ready
            self._states[name] = is_up = await probe()
            self._seen[name] = self._seen[name] or is_up
            gauge.set(is_up)
            if self.is_ready != before:
                on_change(self.is_ready)
            await asyncio.sleep(_READY_SECONDS if is_up else _WAITING_SECONDS)
