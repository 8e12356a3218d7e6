"""Models and embeddings."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from services.gateway.chat_operations import ChatOperations
from services.gateway.edge.openai.bodies import MODEL, OpenAiBody
from services.gateway.edge.openai.views import EmbeddingsView, ModelsView, ModelView
from services.gateway.edge.routing import CallerDependency, JsonResponse
from services.gateway.identity import Caller, Operation
from services.gateway.operations import Operations
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError


class EmbeddingsBody(OpenAiBody):
    """Texts to embed."""

    input: str | list[str] | list[int] | list[list[int]]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int = Field(default=0, ge=0, le=65_536)

    def texts(self) -> list[str]:
        """Returns the texts.

        Raises:
            InvalidArgumentError: the input is token ids.
        """
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not all(isinstance(each, str) for each in texts):
            raise InvalidArgumentError.for_field(
                "input", "send texts; token ids belong to other tokenizers"
            )
        return [each for each in texts if isinstance(each, str)]


def add_model_routes(router: APIRouter, operations: Operations, chat: ChatOperations) -> None:
    """Adds the routes."""

    @router.get(
        "/models", operation_id="openai_list_models", responses={200: {"model": ModelsView}}
    )
    async def models(caller: CallerDependency) -> Response:
        """Lists a model for each collection, the embedding models and the generation models."""
        names = await _names(operations, chat, caller)
        return JsonResponse({"object": "list", "data": [_model(name) for name in names]})

    @router.get(
        "/models/{name:path}",
        operation_id="openai_get_model",
        responses={200: {"model": ModelView}},
    )
    async def model(name: str, caller: CallerDependency) -> Response:
        """Returns a model."""
        if name not in await _names(operations, chat, caller):
            raise NotFoundError(Reason.MODEL_NOT_FOUND, "there is no such model")
        return JsonResponse(_model(name))

    @router.post(
        "/embeddings",
        operation_id="openai_create_embedding",
        responses={200: {"model": EmbeddingsView}},
    )
    async def embeddings(body: EmbeddingsBody, caller: CallerDependency) -> Response:
        """Embeds texts."""
        embedded = await operations.embed(caller, body.texts(), body.model, body.dimensions)
        return JsonResponse(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": _numbers(row, body.encoding_format),
                    }
                    for index, row in enumerate(embedded.rows)
                ],
                "model": embedded.model,
                "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
            }
        )


async def _names(operations: Operations, chat: ChatOperations, caller: Caller) -> list[str]:
    caller.require(Operation.READ_COLLECTIONS)

    async def generation() -> list[str]:
        try:
            return [each.name for each in await chat.models(caller) if each.name]
        except ServiceError:  # answers from documents need none: the list is shorter, not absent
            return []

    page, embedding, writing = await asyncio.gather(
        operations.collections.list(caller, page_size=1_000),
        operations.embedding_models(caller),
        generation(),
    )
    names = [
        MODEL,
        *(f"{MODEL}/{each.name}" for each in page.entries),
        *(each.name for each in embedding),
        *writing,
    ]
    return list(dict.fromkeys(names))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "cairn"}


def _numbers(row: bytes, encoding: str) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(row).decode()
    return list(struct.unpack(f"<{len(row) // 4}f", row))
