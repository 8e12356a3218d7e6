"""What all routes share: strict JSON, the caller, error statuses, plain JSON responses."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.gateway.edge.problem import HttpError, encode
from services.gateway.edge.strict_json import parse_json
from services.gateway.edge.views import OpenAiErrorView, ProblemView
from services.gateway.identity import Caller
from services.rpc.errors import Reason, ServiceError

_ERRORS = {
    400: "The request is wrong; `violations` name the fields.",
    401: "No API key, or not a valid one.",
    403: "The key's role does not allow it.",
    404: "No such route, collection, document or key.",
    405: "Not this method.",
    408: "The request came too slowly, or gave too little time.",
    409: "The state does not allow it.",
    413: "The body is too large.",
    415: "Not a content type that the route takes.",
    429: "A rate limit, quota or queue; try again after `Retry-After`.",
    500: "A fault of ours.",
    501: "Not built into this deployment.",
    503: "Something that is needed does not answer.",
    504: "Our own deadline passed.",
    507: "No space is left to store the write.",
}


def error_responses(*, openai: bool = False) -> dict[int | str, dict[str, Any]]:
    """Returns the descriptions of every error status."""
    view = OpenAiErrorView if openai else ProblemView
    media = "application/json" if openai else "application/problem+json"
    schema = {"$ref": f"#/components/schemas/{view.__name__}"}
    return {
        status: {"description": text, "content": {media: {"schema": schema}}}
        for status, text in _ERRORS.items()
    }


class Parameters(BaseModel):
    """Query parameters; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ListParameters(Parameters):
    """Page of a list."""

    page_size: int = Field(default=0, ge=0, le=1_000)
    """Entries at most; 0: 100."""
    page_token: str = ""
    """Where the former page ended; empty: the beginning."""


class JsonResponse(Response):
    """Compact JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Returns the body."""
        return encode(content)


class ServiceHttpException(HTTPException):
    """Carries a service error through FastAPI's reading of the body."""

    def __init__(self, error: ServiceError) -> None:
        super().__init__(400)
        self.error = error


class StrictRequest(Request):
    """Reads JSON as the standard has it."""

    async def json(self) -> Any:
        """Returns the body's value.

        Raises:
            ServiceHttpException: it is not JSON.
        """
        try:
            return parse_json(await self.body())
        except ServiceError as error:
            raise ServiceHttpException(error) from None


class StrictRoute(APIRoute):
    """Takes JSON only, and reads it strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Returns the handler with the checks before it."""
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            if takes_json and (wrong := wrong_content_type(request, "application/json")):
                raise wrong
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def media_type(request: Request) -> str:
    """Returns the media type of the body in lower case, without parameters."""
    return _media_type(request.headers.get("content-type", ""))


def wrong_content_type(request: Request, *allowed: str) -> HttpError | None:
    """Returns the error for a body of another type than those allowed."""
    return wrong_media_type(request.headers.get("content-type", ""), *allowed)


def wrong_media_type(content_type: str, *allowed: str) -> HttpError | None:
    """Returns the error for a content type of another media type than those allowed."""
    if content_type in allowed:
        return None
    given = _media_type(content_type)
    if given in allowed or ("application/json" in allowed and given.endswith("+json")):
        return None
    return HttpError(
        415,
        Reason.UNSUPPORTED_CONTENT_TYPE,
        f"send {' or '.join(allowed)}, not {given or 'a body without content-type'}"[:300],
    )


def _media_type(content_type: str) -> str:
    header = Message()
    header["content-type"] = content_type
    return header.get_content_type() if content_type else ""


async def current_caller(request: Request) -> Caller:
    """Returns who the outer layer let in."""
    return request.state.caller


CallerDependency = Annotated[Caller, Depends(current_caller)]
