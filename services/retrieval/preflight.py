"""`python -m services.retrieval.preflight`: may this version start here?"""

from __future__ import annotations

from collections.abc import Iterator

from services.retrieval.settings import RetrievalSettings
from services.retrieval.store import tables
from services.retrieval.store.upgrades import UPGRADES
from services.rpc.preflight import (
    Check,
    Level,
    address_check,
    folder_check,
    run_preflight,
    traces_checks,
)
from services.rpc.settings import load_settings
from services.sql.preflight import Schema, database_check


def checks(settings: RetrievalSettings) -> Iterator[Check]:
    """Yields what this service needs."""
    yield folder_check(settings.data_dir)
    yield from traces_checks(settings)
    yield database_check(
        settings.database_url.get_secret_value(),
        settings.data_dir / "retrieval" / "retrieval.db",
        [Schema(tables.COMPONENT, tables.VERSION, UPGRADES)],
    )
    if settings.backend == "milvus" and "://" in settings.milvus_uri:
        yield address_check(
            "milvus", settings.milvus_uri, effect="no search is possible", level=Level.FAILURE
        )


if __name__ == "__main__":
    raise SystemExit(run_preflight("retrieval", checks(load_settings(RetrievalSettings))))
