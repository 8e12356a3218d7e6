"""The audit log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from services.gateway.audit.chain import AuditEntry
from services.gateway.audit.desk import AuditAsk, AuditDesk
from services.gateway.edge.identity_views import (
    AuditEntriesView,
    AuditReportView,
    render_entry,
    render_report,
)
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    ListParameters,
    Parameters,
    StrictRoute,
    error_responses,
)
from services.rpc.errors import InvalidArgumentError

_LINES = "application/x-ndjson"


class ChainParameters(Parameters):
    """Which chain."""

    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""
    of_installation: bool = False
    """Whether the installation's own chain is meant, which keeps refused credentials."""


class VerifyParameters(ChainParameters):
    """Which chain, and from where."""

    after: str = ""
    """Checkpoint to go on from ("SEQ:HASH"), which the chain must still hold."""


class AuditParameters(ListParameters):
    """Which entries; empty: any."""

    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""
    of_installation: bool = False
    """Whether the installation's own chain is meant, which keeps refused credentials."""
    actor: str = ""
    """"key:ID", "user:SUBJECT" or "service:NAME"."""
    action: str = ""
    """Operation."""
    outcome: str = ""
    """"ok", or the reason of the refusal."""
    subject: str = ""
    """What it was about, in plain: "document:ID", "query:TEXT", "user:ID", "group:NAME"."""
    from_time: str = ""
    """RFC 3339; entries at or after."""
    to_time: str = ""
    """RFC 3339; entries before."""


def audit_routes(desk: AuditDesk) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1/audit", tags=["audit"], route_class=StrictRoute, responses=error_responses()
    )

    @router.get("", operation_id="list_audit", responses={200: {"model": AuditEntriesView}})
    async def list_entries(
        caller: CallerDependency, parameters: Annotated[AuditParameters, Query()]
    ) -> Response:
        """Lists entries, newest first."""
        ask = AuditAsk(
            tenant=parameters.tenant,
            of_installation=parameters.of_installation,
            actor=parameters.actor,
            action=parameters.action,
            outcome=parameters.outcome,
            subject=parameters.subject,
            from_time=_time("from_time", parameters.from_time),
            to_time=_time("to_time", parameters.to_time),
            page_size=parameters.page_size,
            page_token=parameters.page_token,
        )
        page = await desk.list_entries(caller, ask)
        return JsonResponse(
            {
                "entries": [render_entry(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get(
        "/export",
        operation_id="export_audit",
        response_class=Response,
        responses={200: {"content": {_LINES: {"schema": {"type": "string"}}}}},
    )
    async def export(
        caller: CallerDependency, parameters: Annotated[ChainParameters, Query()]
    ) -> Response:
        """Returns a chain, one entry a line: `body` is the text that `hash` covers."""
        entries = await desk.export(
            caller, parameters.tenant, of_installation=parameters.of_installation
        )
        return StreamingResponse(_lines(entries), media_type=_LINES)

    @router.get("/verify", operation_id="verify_audit", responses={200: {"model": AuditReportView}})
    async def verify(
        caller: CallerDependency, parameters: Annotated[VerifyParameters, Query()]
    ) -> Response:
        """Checks a chain and names its first broken link."""
        report = await desk.verify(
            caller,
            parameters.tenant,
            parameters.after,
            of_installation=parameters.of_installation,
        )
        return JsonResponse(render_report(report))

    return router


async def _lines(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[bytes]:
    async for entry in entries:
        line = {"seq": entry.seq, "body": entry.body, "hash": entry.hash}
        yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def _time(field: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgumentError.for_field(
            field, "must be a time such as 2026-01-01T00:00:00Z"
        ) from None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        raise InvalidArgumentError.for_field(field, "is out of range") from None
