"""Puts limits together for a process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from services.gateway.limits.gate import Gate
from services.gateway.limits.ledger_seeds import LedgerSeeds
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.stock import CachedStock
from services.gateway.limits.tiers import tier_rules
from services.gateway.limits.watch import Watch
from services.rpc.errors import StartupError

if TYPE_CHECKING:
    from services.gateway.ledger.alerts import AlertStore
    from services.gateway.ledger.ledger import Ledger
    from services.gateway.limits.rule_store import RuleStore
    from services.gateway.limits.stock import Library
    from services.gateway.limits.valkey_gauges import ValkeyGauges
    from services.gateway.settings import GatewaySettings


@contextlib.asynccontextmanager
async def open_gate(
    settings: GatewaySettings,
    rules: RuleStore,
    ledger: Ledger,
    alerts: AlertStore,
    library: Library,
) -> AsyncIterator[Gate]:
    """Runs the limits while the block runs.

    Args:
        settings: Of the process.
        rules: Limits that somebody set.
        ledger: What was used.
        alerts: What was noticed about it.
        library: What is stored.

    Raises:
        StartupError: a setting is wrong.
    """
    shared = _shared(settings.valkey_url.get_secret_value())
    limiter = Limiter(shared, LedgerSeeds(ledger), replicas=settings.limit_replicas)
    tiers = tier_rules(settings.rate_per_second, settings.rate_burst)
    gate = Gate(limiter, rules, tiers, CachedStock(library))
    watch = Watch(ledger, alerts, gate.remembered, gate.raise_to)
    ledger.watcher = watch
    async with limiter.running(), watch.running():
        yield gate


def _shared(url: str) -> ValkeyGauges | None:
    if not url:
        return None
    from services.gateway.limits.valkey_gauges import (  # noqa: PLC0415 - only where it is used
        ValkeyGauges,
    )

    try:
        return ValkeyGauges(url)
    except ValueError as error:
        raise StartupError(f"CAIRN_GATEWAY_VALKEY_URL: {error}") from error
