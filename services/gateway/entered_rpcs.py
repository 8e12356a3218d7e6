"""What parts of the servicer that serve some of its methods have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Container
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    import grpc

    from services.gateway.identity import Caller


class EnteredRpcs(rpc.GatewayServiceServicer, ABC):
    """Some methods of the contract; the class that inherits them lets callers in."""

    @abstractmethod
    def _entered(self, context: grpc.aio.ServicerContext) -> AbstractAsyncContextManager[Caller]:
        """Runs the block for the caller, within its limits and deadline."""


def check_known(number: int, known: Container[int], field: str) -> None:
    """Passes when an enum number stands for something.

    Raises:
        InvalidArgumentError: it is unset where it must not be, or unknown.
    """
    if number not in known:
        raise InvalidArgumentError.for_field(field, f"{number} is not a known value")


def time_to_proto(moment: datetime | None) -> Timestamp | None:
    """Returns a time as it is sent; None where there is none."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message
