"""The HTTP application: routes, errors, description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from services.gateway.audit.trail import note_outcome
from services.gateway.edge.account_routes import account_routes
from services.gateway.edge.audit_routes import audit_routes
from services.gateway.edge.bodies import DocumentBody, SubmitDocumentsBody
from services.gateway.edge.collection_routes import collection_routes
from services.gateway.edge.console_files import ConsoleFile, ConsoleFiles
from services.gateway.edge.direct import DirectApi
from services.gateway.edge.document_routes import document_routes
from services.gateway.edge.identity_routes import identity_routes
from services.gateway.edge.key_routes import key_routes
from services.gateway.edge.openai.routes import OpenAiOperations, openai_routes
from services.gateway.edge.operations_routes import operations_routes
from services.gateway.edge.problem import HttpError, body_for, headers_of, status_of
from services.gateway.edge.quality_routes import quality_routes
from services.gateway.edge.query_routes import query_routes
from services.gateway.edge.routing import JsonResponse, ServiceHttpException
from services.gateway.edge.source_routes import source_routes
from services.gateway.edge.usage_routes import usage_routes
from services.gateway.edge.validation import validation_error
from services.gateway.edge.views import HealthView, OpenAiErrorView, ProblemView, ReadyView
from services.rpc.errors import InternalError, InvalidArgumentError, Reason, ServiceError
from services.rpc.telemetry import current_trace_id

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from services.gateway.edge.mcp.endpoint import McpEndpoint
    from services.gateway.edge.readiness import Readiness
    from services.gateway.identity.opening import Identity
    from services.gateway.operations import Operations
    from services.gateway.overview import OverviewDesk

VERSION = "1.0.0"
"""Version of the API, not of the program."""

_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


def http_app(
    operations: Operations,
    identity: Identity,
    readiness: Readiness,
    console: ConsoleFiles,
    openai: OpenAiOperations,
    mcp: McpEndpoint,
    overview: OverviewDesk,
) -> DirectApi:
    """Returns the application, to be wrapped in an `Exchange`."""
    app = DirectApi(
        title="Cairn",
        version=VERSION,
        summary="Answers with citations, from your own documents.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    routers = (
        query_routes(operations),
        document_routes(operations),
        collection_routes(operations),
        quality_routes(operations),
        source_routes(operations),
        account_routes(operations),
        key_routes(identity.key_desk),
        identity_routes(identity.desk),
        audit_routes(identity.audit_desk),
        usage_routes(operations.usage, operations.limits),
        openai_routes(operations, openai),
        operations_routes(overview),
    )
    for router in routers:
        app.include_router(router)
    app.router.routes.append(_NamedRoute("/mcp", endpoint=mcp))
    _add_status_routes(app, readiness)
    _add_console(app, console)
    _add_error_forms(app)
    description: dict[str, Any] = {}

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        if not description:
            description.update(describe(app))
        return JsonResponse(description)

    app.state.routes = [
        route
        for source in (*routers, app)
        for route in source.routes
        if isinstance(route, Route)  # the application holds the routers as wholes
    ]
    app.serve_directly(app.state.routes)
    return app


class _NamedRoute(Route):
    """A plain route that metrics and spans know by its path, as they know the framework's."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        scope["route"] = self
        await super().handle(scope, receive, send)


def describe(app: FastAPI) -> dict[str, Any]:
    """Returns the OpenAPI description of the routes."""
    description = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    components = description.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in (ProblemView, OpenAiErrorView, SubmitDocumentsBody, DocumentBody):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            schemas.setdefault(name, part)
        schemas.setdefault(model.__name__, schema)
    components["securitySchemes"] = {
        "api_key": {"type": "http", "scheme": "bearer", "bearerFormat": "crn_…"}
    }
    for path, operations in description["paths"].items():
        for operation in operations.values():
            # FastAPI's own form of a validation error; ours is the 400.
            operation["responses"].pop("422", None)
            if path not in _OPEN_PATHS:
                operation["security"] = [{"api_key": []}]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    return description


def _add_status_routes(app: FastAPI, readiness: Readiness) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get(
        "/healthz", tags=["status"], operation_id="healthz", responses={200: {"model": HealthView}}
    )
    async def healthz() -> Response:
        """Says that the process is alive."""
        return JsonResponse({"status": "ok"})

    @app.head("/readyz", include_in_schema=False)
    @app.get(
        "/readyz",
        tags=["status"],
        operation_id="readyz",
        responses={200: {"model": ReadyView}, 503: {"model": ReadyView}},
    )
    async def readyz() -> Response:
        """Says whether requests should come here, and names what is not ready."""
        return JsonResponse(readiness.view(), status_code=200 if readiness.is_ready else 503)


def _add_console(app: FastAPI, console: ConsoleFiles) -> None:
    def serve(request: Request, found: ConsoleFile | None) -> Response:
        if found is None:
            raise _no_route()
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=found.headers())
        return Response(found.content, media_type=found.media_type, headers=found.headers())

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return serve(request, console.find("index.html"))

    @app.get("/assets/{name:path}", include_in_schema=False)
    async def asset(request: Request, name: str) -> Response:
        return serve(request, console.find(f"assets/{name}"))

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon(request: Request) -> Response:
        return serve(request, console.find("icon.svg"))


def _add_error_forms(app: FastAPI) -> None:
    async def on_service_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)
        note_outcome(error.reason.value)
        body, media = body_for(request.url.path, error, current_trace_id())
        return Response(body, status_of(error), headers_of(error), media)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await on_service_error(request, validation_error(error.errors()))

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return await on_service_error(request, _from_http(request, error))

    async def on_fault(request: Request, _: Exception) -> Response:
        # The outer layer logs it; this only gives the answer its described form.
        fault = InternalError(Reason.INTERNAL, "a fault of ours; the trace id finds it in the logs")
        return await on_service_error(request, fault)

    app.add_exception_handler(Exception, on_fault)
    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)


def _from_http(request: Request, error: HTTPException) -> ServiceError:
    if isinstance(error, ServiceHttpException):
        return error.error
    if error.status_code == 404:
        return _no_route()
    if error.status_code == 405:
        return HttpError(
            405,
            Reason.ROUTE_NOT_FOUND,
            f"{request.method} is not a method of this route",
            {"Allow": ", ".join(_methods(request))},
        )
    return InvalidArgumentError(Reason.INVALID_FIELD, "the request cannot be read")


def _methods(request: Request) -> list[str]:
    """Returns every method of a path: the framework names those of one of its routes only."""
    return sorted(
        {
            method
            for route in request.app.state.routes
            if route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
    )


def _no_route() -> HttpError:
    return HttpError(404, Reason.ROUTE_NOT_FOUND, "there is no such route; see /openapi.json")
