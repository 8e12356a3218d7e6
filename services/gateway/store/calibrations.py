"""From which support on questions about a collection are answered."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from services.gateway.store.quality_tables import calibrations
from services.gateway.store.tables import read_time, time_text
from services.gateway.texts import check_share
from services.rpc.deadline import deadline_in
from services.rpc.errors import InvalidArgumentError, ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

_ASK_SECONDS = 0.5
"""Longest that a question waits for the database."""
FRESH_SECONDS = 5.0
"""How long a replica may answer by a calibration that another one has changed."""

_MAX_KEPT = 10_000
_MAX_COUNT = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What a threshold was found from. Rates are 0..1; None: nothing to say."""

    question_count: int = 0
    off_topic_count: int = 0
    false_refusal_rate: float = 0.0
    off_topic_refusal_rate: float | None = None
    auroc: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold. Build with `checked`."""

    min_support: float
    """Least support of an answer, 0..1."""
    figures: Figures
    updated_at: datetime

    @classmethod
    def checked(cls, min_support: float, figures: Figures) -> Calibration:
        """Returns the calibration, as of now.

        Raises:
            InvalidArgumentError: a number is out of its range; the violation names it.
        """
        check_share("min_support", min_support)
        for each in fields(figures):
            value = getattr(figures, each.name)
            if each.name.endswith("_count"):
                if not 0 <= value <= _MAX_COUNT:
                    raise InvalidArgumentError.for_field(
                        each.name, f"must be between 0 and {_MAX_COUNT}"
                    )
            elif value is not None:
                check_share(each.name, value)
        return cls(min_support, figures, datetime.now(UTC))


class Calibrations:
    """Keeps thresholds; what is looked up for each question is kept in memory for seconds.

    Args:
        reader: For reading.
        writer: For rows.
    """

    def __init__(self, reader: Reader, writer: GroupWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._kept: dict[tuple[str, str], tuple[float, Calibration | None]] = {}

    async def of(self, tenant: str, collection: str) -> Calibration | None:
        """Returns the calibration; a database that is away leaves the last one known.

        Args:
            tenant: Whose.
            collection: Collection or alias, as the question names it.
        """
        key = (tenant, collection)
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[0] < FRESH_SECONDS:
            return kept[1]
        try:
            with deadline_in(_ASK_SECONDS):
                found = await self.read(tenant, collection)
        except ServiceError:
            # Kept as if it were fresh: while the database is away, not every question waits for it.
            found = None if kept is None else kept[1]
        self._keep(key, found)
        return found

    async def read(self, tenant: str, collection: str) -> Calibration | None:
        """Returns the calibration as it is stored now."""
        wanted = select(calibrations).where(_own(tenant, collection))
        row = await self._reader.run(lambda connection: connection.execute(wanted).first())
        if row is None:
            return None
        updated_at = read_time(row.updated_at) or datetime.now(UTC)
        return Calibration(row.min_support, Figures(**row.figures), updated_at)

    async def put(self, tenant: str, collection: str, calibration: Calibration | None) -> None:
        """Stores a calibration; None drops it."""

        def run(connection: Connection) -> None:
            connection.execute(delete(calibrations).where(_own(tenant, collection)))
            if calibration is not None:
                connection.execute(
                    insert(calibrations).values(
                        tenant=tenant,
                        collection=collection,
                        min_support=calibration.min_support,
                        figures=asdict(calibration.figures),
                        updated_at=time_text(calibration.updated_at),
                    )
                )

        await self._writer.run(run)
        self._keep((tenant, collection), calibration)

    def _keep(self, key: tuple[str, str], found: Calibration | None) -> None:
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[key] = (time.monotonic(), found)


def _own(tenant: str, collection: str):  # noqa: ANN202 - SQLAlchemy's own type says nothing
    return (calibrations.c.tenant == tenant) & (calibrations.c.collection == collection)
