"""`python -m services.ingestion.preflight`: may this version start here?"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator

from services.ingestion.jobs import tables as jobs
from services.ingestion.settings import IngestionSettings
from services.ingestion.sources import tables as sources
from services.rpc.preflight import (
    Check,
    Level,
    address_check,
    folder_check,
    note,
    run_preflight,
    target_check,
    traces_checks,
)
from services.rpc.settings import load_settings
from services.sql.preflight import Schema, database_check


def checks(settings: IngestionSettings) -> Iterator[Check]:
    """Yields what this service needs."""
    yield folder_check(settings.data_dir)
    yield from traces_checks(settings)
    yield database_check(
        settings.database_url.get_secret_value(),
        settings.data_dir / "ingestion" / "jobs.sqlite",
        [
            Schema(jobs.COMPONENT, jobs.SCHEMA_VERSION),
            Schema(sources.COMPONENT, sources.SCHEMA_VERSION),
        ],
    )
    if valkey := settings.valkey_url.get_secret_value():
        yield address_check("valkey", valkey, effect="workers look for documents each second")
    yield target_check("embedding", settings.embedding_target)
    yield target_check("retrieval", settings.retrieval_target)
    if settings.ocr_command:
        program = shlex.split(settings.ocr_command)[0]
        if shutil.which(program) is None:
            text = f"{program} is not a program here"
            remedy = "install it, or clear CAIRN_INGESTION_OCR_COMMAND"
            yield note("ocr", Level.FAILURE, text, remedy)


if __name__ == "__main__":
    raise SystemExit(run_preflight("ingestion", checks(load_settings(IngestionSettings))))
