"""What many teams write first: FastAPI in front of sentence-transformers. A peer to be beaten."""

from __future__ import annotations

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Texts(BaseModel):
    """The body of a request."""

    input: list[str]


def application(folder: str) -> FastAPI:
    """Returns the application. Its handler is no coroutine, so that requests run in threads."""
    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    app = FastAPI()

    @app.post("/embeddings")
    def embed(texts: Texts) -> dict[str, list[list[float]]]:
        return {"data": model.encode(texts.input, show_progress_bar=False).tolist()}

    return app


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[3]))
    uvicorn.run(application(sys.argv[1]), port=int(sys.argv[2]), log_level="error")
