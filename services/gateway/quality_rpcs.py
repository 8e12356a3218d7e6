"""Checks and calibrations of `GatewayService`: protobuf to domain and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cairn.gateway.v1 import quality_pb2 as pb

from services.gateway.entered_rpcs import EnteredRpcs, time_to_proto
from services.gateway.store.calibrations import Calibration, Figures
from services.gateway.texts import DEFAULT_COLLECTION

if TYPE_CHECKING:
    import grpc

    from services.gateway.operations import Operations


class QualityRpcs(EnteredRpcs):
    """Serves these methods; the class that inherits them lets callers in."""

    _operations: Operations

    async def VerifyAnswer(  # noqa: N802 - the contract's name
        self, request: pb.VerifyAnswerRequest, context: grpc.aio.ServicerContext
    ) -> pb.VerifyAnswerResponse:
        """Says how well texts carry an answer."""
        async with self._entered(context) as caller:
            checked = await self._operations.quality.verify(
                caller, request.answer, tuple(request.sources)
            )
            return pb.VerifyAnswerResponse(
                grounded=checked.grounded,
                sentences=[
                    pb.SentenceSupport(start=each.start, end=each.end, support=each.support)
                    for each in checked.sentences
                ],
                degraded=checked.degraded,
                trace_id=checked.trace_id,
            )

    async def GetCalibration(  # noqa: N802 - the contract's name
        self, request: pb.GetCalibrationRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCalibrationResponse:
        """Returns a collection's calibration."""
        async with self._entered(context) as caller:
            found = await self._operations.quality.calibration(caller, request.collection)
            return pb.GetCalibrationResponse(calibration=_message(request.collection, found))

    async def SetCalibration(  # noqa: N802 - the contract's name
        self, request: pb.SetCalibrationRequest, context: grpc.aio.ServicerContext
    ) -> pb.SetCalibrationResponse:
        """Sets a collection's calibration."""
        async with self._entered(context) as caller:
            given = _calibration(request.calibration) if request.HasField("calibration") else None
            kept = await self._operations.quality.set_calibration(caller, request.collection, given)
            return pb.SetCalibrationResponse(calibration=_message(request.collection, kept))


def _calibration(message: pb.Calibration) -> Calibration:
    rate, auroc = message.off_topic_refusal_rate, message.auroc
    return Calibration.checked(
        message.min_support,
        Figures(
            question_count=message.question_count,
            off_topic_count=message.off_topic_count,
            false_refusal_rate=message.false_refusal_rate,
            off_topic_refusal_rate=rate if message.HasField("off_topic_refusal_rate") else None,
            auroc=auroc if message.HasField("auroc") else None,
        ),
    )


def _message(collection: str, found: Calibration | None) -> pb.Calibration | None:
    if found is None:
        return None
    figures = found.figures
    return pb.Calibration(
        collection=collection or DEFAULT_COLLECTION,
        min_support=found.min_support,
        question_count=figures.question_count,
        off_topic_count=figures.off_topic_count,
        false_refusal_rate=figures.false_refusal_rate,
        off_topic_refusal_rate=figures.off_topic_refusal_rate,
        auroc=figures.auroc,
        updated_at=time_to_proto(found.updated_at),
    )
