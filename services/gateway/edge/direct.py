"""Routes that take one JSON body, called without the framework's machinery around them.

FastAPI matches routes in turn, solves dependencies and passes nine layers for each request: 0.3 ms
of processor time and more, as much as all the rest of a request together. What is asked most takes
a body and a caller and nothing else; for such routes the very same endpoint is called with the very
same model of its body, and errors are put into words at the same place as those of the edge. The
description, and every other route, stay the framework's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.routing import Match, Route

from services.gateway.edge.routing import StrictRoute, current_caller, wrong_media_type
from services.gateway.edge.strict_json import parse_json
from services.gateway.edge.validation import validation_error

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_NO_CONTENT_TYPE = ""


@dataclass(frozen=True, slots=True)
class _Direct:
    """A route that needs a body and a caller only."""

    route: StrictRoute
    endpoint: Callable[..., Awaitable[Response]]
    body_name: str
    caller_name: str
    model: TypeAdapter[Any]

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request whose body the edge has read.

        Raises:
            ServiceError: the request is wrong, or cannot be served.
        """
        scope["route"] = self.route
        if wrong := wrong_media_type(_content_type(scope), "application/json"):
            raise wrong
        value = parse_json(await _body(receive))
        try:
            body = self.model.validate_python(value, from_attributes=True)
        except ValidationError as error:
            wrong_fields = error.errors(include_url=False, include_input=False)
            raise validation_error(
                [{**each, "loc": ("body", *each["loc"])} for each in wrong_fields]
            ) from None
        response = await self.endpoint(
            **{self.body_name: body, self.caller_name: scope["state"]["caller"]}
        )
        await response(scope, receive, send)


class DirectApi(FastAPI):
    """An application that serves its simplest routes itself."""

    _direct: dict[str, _Direct]
    _fixed: dict[tuple[str, str], Route]
    """By method and path, where the path has no parameters."""
    _with_parameters: list[Route]

    def serve_directly(self, routes: Sequence[Route]) -> None:
        """Finds the routes that need nothing of the framework.

        Args:
            routes: All of the application.
        """
        found = (_direct_of(route) for route in routes)
        self._direct = {each.route.path: each for each in found if each is not None}
        self._fixed = {
            (method, route.path): route
            for route in routes
            if "{" not in route.path
            for method in route.methods or ()
        }
        self._with_parameters = [route for route in routes if "{" in route.path]

    def route_of(self, scope: Scope) -> Route | None:
        """Returns the route that a request asks for, without serving it; None: there is none."""
        if fixed := self._fixed.get((scope["method"], scope["path"])):
            return fixed
        for route in self._with_parameters:
            if route.matches(scope)[0] is Match.FULL:
                return route
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        direct = self._direct_for(scope)
        if direct is None:
            await super().__call__(scope, receive, send)
        else:
            await direct.serve(scope, receive, send)

    def _direct_for(self, scope: Scope) -> _Direct | None:
        is_plain = scope["type"] == "http" and not scope["query_string"]
        if not is_plain or scope["method"] != "POST":
            return None
        return self._direct.get(scope["path"])


def _direct_of(route: Route) -> _Direct | None:
    if not isinstance(route, StrictRoute) or route.methods != {"POST"} or "{" in route.path:
        return None
    needs = route.dependant
    others = (needs.query_params, needs.path_params, needs.header_params, needs.cookie_params)
    asks = (needs.request_param_name, needs.response_param_name, needs.background_tasks_param_name)
    if any(others) or any(asks) or len(needs.body_params) != 1 or len(needs.dependencies) != 1:
        return None
    (body,), (caller,) = needs.body_params, needs.dependencies
    annotation = body.field_info.annotation
    if caller.call is not current_caller or caller.name is None or not _is_model(annotation):
        return None
    return _Direct(
        route=route,
        endpoint=route.endpoint,
        body_name=body.name,
        caller_name=caller.name,
        model=TypeAdapter(annotation),
    )


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _content_type(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return value.decode("latin-1")
    return _NO_CONTENT_TYPE


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    parts = [body]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)
