"""All routes of OpenAI's API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter

from services.gateway.edge.openai.chat import add_chat_routes
from services.gateway.edge.openai.files import add_file_routes
from services.gateway.edge.openai.models import add_model_routes
from services.gateway.edge.openai.responses import add_response_routes
from services.gateway.edge.openai.vector_stores import add_vector_store_routes
from services.gateway.edge.routing import StrictRoute, error_responses

if TYPE_CHECKING:
    from services.gateway.chat_operations import ChatOperations
    from services.gateway.file_operations import FileOperations
    from services.gateway.operations import Operations
    from services.gateway.vector_store_operations import VectorStoreOperations


@dataclass(frozen=True, slots=True)
class OpenAiOperations:
    """What OpenAI's API does beyond the gateway's own."""

    chat: ChatOperations
    files: FileOperations
    vector_stores: VectorStoreOperations


def openai_routes(operations: Operations, openai: OpenAiOperations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/openai/v1",
        tags=["openai"],
        route_class=StrictRoute,
        responses=error_responses(openai=True),
    )
    add_model_routes(router, operations, openai.chat)
    add_chat_routes(router, operations, openai.chat)
    add_response_routes(router, operations, openai.chat)
    add_file_routes(router, openai.files)
    add_vector_store_routes(router, operations, openai.vector_stores)
    return router
