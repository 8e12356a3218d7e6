"""Checks of answers, and from which support on a collection's questions are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from services.gateway.edge.bodies import Body
from services.gateway.edge.render import render_time
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.views import SentenceView, View
from services.gateway.operations import Operations
from services.gateway.quality_desk import MAX_SOURCES
from services.gateway.store.calibrations import Calibration, Figures
from services.gateway.texts import DEFAULT_COLLECTION

if TYPE_CHECKING:
    from services.gateway.quality_desk import CheckedAnswer


class VerifyBody(Body):
    """An answer and what it should rest on."""

    answer: str
    """Markers such as "[1]" are not looked at."""
    sources: list[str] = Field(default_factory=list, max_length=MAX_SOURCES)


class VerifyView(View):
    """How well the sources carry the answer."""

    grounded: float
    sentences: list[SentenceView]
    degraded: list[str]
    trace_id: str


class CalibrationBody(Body):
    """From which support on questions are answered, and what that was found from."""

    min_support: float = Field(ge=0, le=1)
    question_count: int = Field(default=0, ge=0, le=1_000_000_000)
    off_topic_count: int = Field(default=0, ge=0, le=1_000_000_000)
    false_refusal_rate: float = Field(default=0.0, ge=0, le=1)
    off_topic_refusal_rate: float | None = Field(default=None, ge=0, le=1)
    auroc: float | None = Field(default=None, ge=0, le=1)

    def calibration(self) -> Calibration:
        """Returns the checked calibration.

        Raises:
            InvalidArgumentError: a number is out of its range.
        """
        return Calibration.checked(
            self.min_support,
            Figures(
                self.question_count,
                self.off_topic_count,
                self.false_refusal_rate,
                self.off_topic_refusal_rate,
                self.auroc,
            ),
        )


class CalibrationValues(View):
    """A calibration that is kept."""

    collection: str
    min_support: float
    question_count: int
    off_topic_count: int
    false_refusal_rate: float
    off_topic_refusal_rate: float | None
    auroc: float | None
    updated_at: str


class CalibrationView(View):
    """The calibration; null: the deployment's own threshold holds."""

    calibration: CalibrationValues | None


def quality_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["quality"], route_class=StrictRoute, responses=error_responses()
    )

    @router.post("/verify", operation_id="verify_answer", responses={200: {"model": VerifyView}})
    async def verify(body: VerifyBody, caller: CallerDependency) -> Response:
        """Says how well texts carry an answer that was written from them."""
        checked = await operations.quality.verify(caller, body.answer, body.sources)
        return JsonResponse(_render_checked(checked))

    @router.get(
        "/collections/{name}/calibration",
        operation_id="get_calibration",
        responses={200: {"model": CalibrationView}},
    )
    async def get_calibration(name: str, caller: CallerDependency) -> Response:
        """Returns from which support on questions about the collection are answered."""
        found = await operations.quality.calibration(caller, name)
        return JsonResponse({"calibration": _render(name, found)})

    @router.put(
        "/collections/{name}/calibration",
        operation_id="set_calibration",
        responses={200: {"model": CalibrationView}},
    )
    async def set_calibration(
        name: str, body: CalibrationBody, caller: CallerDependency
    ) -> Response:
        """Sets from which support on questions about the collection are answered."""
        kept = await operations.quality.set_calibration(caller, name, body.calibration())
        return JsonResponse({"calibration": _render(name, kept)})

    @router.delete(
        "/collections/{name}/calibration", operation_id="reset_calibration", status_code=204
    )
    async def reset_calibration(name: str, caller: CallerDependency) -> Response:
        """Goes back to the deployment's own threshold."""
        await operations.quality.set_calibration(caller, name, None)
        return Response(status_code=204)

    return router


def _render_checked(checked: CheckedAnswer) -> dict[str, Any]:
    return {
        "grounded": checked.grounded,
        "sentences": [
            {"start": each.start, "end": each.end, "support": each.support}
            for each in checked.sentences
        ],
        "degraded": list(checked.degraded),
        "trace_id": checked.trace_id,
    }


def _render(collection: str, found: Calibration | None) -> dict[str, Any] | None:
    if found is None:
        return None
    figures = found.figures
    return {
        "collection": collection or DEFAULT_COLLECTION,
        "min_support": found.min_support,
        "question_count": figures.question_count,
        "off_topic_count": figures.off_topic_count,
        "false_refusal_rate": figures.false_refusal_rate,
        "off_topic_refusal_rate": figures.off_topic_refusal_rate,
        "auroc": figures.auroc,
        "updated_at": render_time(found.updated_at),
    }
