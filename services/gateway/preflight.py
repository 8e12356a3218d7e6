"""`python -m services.gateway.preflight`: may this version start here?"""

from __future__ import annotations

from collections.abc import Iterator

from services.gateway.ledger import tables as ledger_tables
from services.gateway.limits import tables as limits_tables
from services.gateway.settings import GatewaySettings
from services.gateway.store import (
    audit_tables,
    identity_tables,
    openai_tables,
    quality_tables,
    tables,
)
from services.rpc.preflight import (
    Check,
    Level,
    address_check,
    folder_check,
    note,
    run_preflight,
    signed_calls_check,
    target_check,
    traces_checks,
)
from services.rpc.settings import load_settings
from services.sql.preflight import Schema, database_check


def checks(settings: GatewaySettings) -> Iterator[Check]:
    """Yields what this service needs."""
    yield folder_check(settings.data_dir)
    yield from traces_checks(settings)
    database = settings.database_url.get_secret_value()
    yield database_check(
        database,
        settings.data_dir / "gateway" / "gateway.db",
        [Schema(each.COMPONENT, each.VERSION, getattr(each, "UPGRADES", {})) for each in _TABLES],
    )
    if database and not settings.pepper.get_secret_value():
        yield note(
            "pepper",
            Level.WARNING,
            "none is given, and the database is shared: another replica would make another",
            "set CAIRN_GATEWAY_PEPPER, the same for all replicas",
        )
    yield signed_calls_check(settings)
    if valkey := settings.valkey_url.get_secret_value():
        yield address_check("valkey", valkey, effect="each replica counts limits alone")
    for name in ("embedding", "retrieval", "generation", "ingestion"):
        yield target_check(name, getattr(settings, f"{name}_target"))


_TABLES = (
    tables,
    openai_tables,
    quality_tables,
    identity_tables,
    audit_tables,
    ledger_tables,
    limits_tables,
)


if __name__ == "__main__":
    raise SystemExit(run_preflight("gateway", checks(load_settings(GatewaySettings))))
