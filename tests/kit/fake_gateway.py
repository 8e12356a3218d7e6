"""A gateway without services behind it: the REST API's shapes over two documents in memory.

For tests of clients (the `cairn` program, the console), which need a partner that answers at once
and fails on demand. Questions steer it: see `answer`.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

API_KEY = "crn_test_key"
CONSOLE = Path(__file__).parents[2] / "services" / "gateway" / "edge" / "console"

# An astral character before the quoted spans: offsets in UTF-16 units would be off by one.
TEXTS = {
    "docs/keys.md": "# Keys 🔑\n\nA key lives 90 days. <b>Rotate</b> it before.\n\nRevoked keys bite at once.",
    "docs/other.md": "# Other\n\nNothing of note.",
}
QUOTE = "A key lives 90 days."


@dataclass
class FakeGateway:
    """What it was told, and what it shall do."""

    url: str = ""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path with query string, parsed body of each request."""
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    collections: set[str] = field(default_factory=set)
    polls_until_ready: int = 2
    busy_count: int = 0
    """Uploads to answer with 429 before one is taken."""

    def bodies(self, path: str) -> list[Any]:
        return [body for _, where, body in self.requests if where.partition("?")[0] == path]


def problem(status: int, reason: str, detail: str) -> JSONResponse:
    content = {
        "type": f"urn:cairn:problem:{reason}",
        "title": "Refused",
        "status": status,
        "detail": detail,
        "reason": reason,
        "violations": [],
        "trace_id": "0" * 32,
        "retry_after_seconds": 0 if status == 429 else None,
    }
    return JSONResponse(content, status, media_type="application/problem+json")


def passages() -> list[dict[str, Any]]:
    text = TEXTS["docs/keys.md"]
    return [
        {
            "passage": {
                "chunk_id": "c1",
                "document_id": "docs/keys.md",
                "document_version": 1,
                "collection": "default",
                "ordinal": 0,
                "start": 0,
                "end": len(text),
                "text": text,
                "title": "Keys",
                "uri": "docs/keys.md",
                "heading_path": ["Keys"],
                "metadata": {},
                "page": 0,
            },
            "scores": {"dense": 0.61, "keyword": 7.2, "fused": 1.9, "rerank": 0.7, "final": 1.2},
        }
    ]


def answer(query: str) -> dict[str, Any]:
    """A cited answer; "refuse" and "degrade" in the question do what they say."""
    text = TEXTS["docs/keys.md"]
    start = text.index(QUOTE)
    is_refused = "refuse" in query
    citation = {
        "marker": 1,
        "document_id": "docs/keys.md",
        "document_version": 1,
        "chunk_id": "c1",
        "start": start,
        "end": start + len(QUOTE),
        "text": QUOTE,
        "uri": "docs/keys.md",
        "title": "Keys",
        "support": 0.98,
    }
    return {
        "answer": "The documents do not say." if is_refused else f"{QUOTE} [1]",
        "citations": [] if is_refused else [citation],
        "passages": passages(),
        "refused": is_refused,
        "grounded": 0.0 if is_refused else 1.0,
        "degraded": ["rerank_skipped"] if "degrade" in query else [],
        "timings_ms": {
            "understand": 0.1,
            "embed": 4.0,
            "retrieve": 5.0,
            "generate": 20.0,
            "total": 29.5,
        },
        "usage": {"embedding_tokens": 9, "completion_tokens": 12},
        "cost": {"amount": 0.0, "currency": "USD"},
        "trace_id": "a" * 32,
        "cached": "",
        "engine": "extractive",
        "model": "extractive",
        "explanation": [],
        "finish_reason": "stop",
    }


def document(document_id: str, state: str = "ready", **fields: Any) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "collection": "default",
        "job_id": "job-" + document_id,
        "state": state,
        "stage": "indexed",
        "title": document_id,
        "uri": document_id,
        "content_type": "text/markdown",
        "size_bytes": 100,
        "chunk_count": 1,
        "attempt_count": 1,
        "failure_reason": "",
        "failure_message": "",
        "failure_stage": "",
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "version": 1,
        "text": "",
        "metadata": {},
        "warnings": [],
    } | fields


def key(key_id: str, name: str, role: str) -> dict[str, Any]:
    return {
        "key_id": key_id,
        "tenant": "default",
        "name": name,
        "role": role,
        "principals": ["everyone", f"key:{key_id}"],
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "user_id": "",
        "kind": "user",
        "grants": [],
        "secrets": [],
    }


def build(state: FakeGateway) -> FastAPI:
    app = FastAPI(openapi_url=None)
    for name, text in TEXTS.items():
        state.documents[name] = document(name, text=text)

    @app.middleware("http")
    async def check_key(request: Request, call_next: Any) -> Response:
        is_open = request.url.path == "/" or request.url.path.startswith("/assets/")
        if not is_open and request.headers.get("authorization") != f"Bearer {API_KEY}":
            return problem(401, "CREDENTIAL_INVALID", "the API key is not valid")
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = "default-src 'self'"
        return response

    async def note(request: Request, body: Any = None) -> None:
        where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        state.requests.append((request.method, where, body))

    @app.get("/")
    async def index() -> FileResponse:
        return FileResponse(CONSOLE / "index.html")

    @app.get("/assets/{name}")
    async def asset(name: str) -> FileResponse:
        return FileResponse(CONSOLE / name)

    @app.post("/v1/query")
    async def query(request: Request) -> Response:
        body = await request.json()
        await note(request, body)
        if body.get("collection") == "missing":
            return problem(404, "COLLECTION_NOT_FOUND", 'there is no collection "missing"')
        response = answer(body["query"])
        if not body.get("stream"):
            return JSONResponse(response)

        async def events() -> Any:
            def event(name: str, content: Any) -> str:
                return f"event: {name}\ndata: {json.dumps(content)}\n\n"

            yield event("passages", {"passages": response["passages"]})
            for word in response["answer"].split(" "):
                yield event("delta", {"text": word + " "})
                if "break" in body["query"]:
                    detail = "the engine is gone"
                    yield event("error", {"detail": detail, "reason": "BACKEND_UNAVAILABLE"})
                    return
                if "slow" in body["query"]:
                    await asyncio.sleep(0.3)
            yield event("response", response)

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.post("/v1/search")
    async def search(request: Request) -> Response:
        body = await request.json()
        await note(request, body)
        if "break" in body["query"]:
            return problem(400, "INVALID_FIELD", "the query is broken")
        return JSONResponse(
            {
                "passages": passages(),
                "degraded": [],
                "timings_ms": {"embed": 4.0, "retrieve": 5.0, "total": 9.1},
                "usage": {},
                "trace_id": "b" * 32,
                "explanation": [],
            }
        )

    @app.post("/v1/documents", status_code=202)
    async def submit(request: Request) -> Response:
        if request.headers["content-type"] == "application/json":
            return await submit_json(request)
        async with request.form() as form:
            upload: Any = form["file"]
            content = await upload.read()
            fields = {name: form.getlist(name) for name in form if name != "file"}
        await note(request, {"name": upload.filename, "content": content, **fields})
        if state.busy_count:
            state.busy_count -= 1
            return problem(429, "OVERLOADED", "too many documents under way")
        document_id = fields["uri"][0] if "uri" in fields else upload.filename
        if not content:
            return problem(400, "EMPTY_TEXT", "documents[0].content: must not be empty")
        is_bad = b"unreadable" in content
        taken = document(
            document_id,
            "queued",
            polls=state.polls_until_ready,
            text=content.decode("utf-8", "replace"),
            bad=is_bad,
        )
        former = state.documents.get(document_id)
        state.documents[document_id] = taken
        submission = {
            "document": taken,
            "is_duplicate": False,
            "is_unchanged": bool(
                former and former["text"] == taken["text"] and former["state"] == "ready"
            ),
            "error_reason": "",
            "error_message": "",
        }
        if submission["is_unchanged"]:
            state.documents[document_id] = former
        return JSONResponse({"submissions": [submission]}, 202)

    async def submit_json(request: Request) -> Response:
        body = await request.json()
        await note(request, body)
        if state.busy_count:
            state.busy_count -= 1
            return problem(429, "OVERLOADED", "too many documents under way")
        submissions = []
        for sent in body["documents"]:
            taken = document(
                sent["document_id"],
                "dead_letter" if "unreadable" in sent["text"] else "ready",
                text=sent["text"],
                failure_message="the file is damaged" if "unreadable" in sent["text"] else "",
                failure_stage="parsed" if "unreadable" in sent["text"] else "",
            )
            state.documents[sent["document_id"]] = taken
            submissions.append({"document": taken, "error_reason": "", "error_message": ""})
        return JSONResponse({"submissions": submissions}, 202)

    @app.get("/v1/documents")
    async def list_documents(request: Request) -> Response:
        await note(request)
        states = request.query_params.getlist("state")
        found = [each for each in state.documents.values() if not states or each["state"] in states]
        return JSONResponse({"documents": found, "next_page_token": ""})

    @app.get("/v1/documents/{document_id:path}")
    async def get_document(request: Request, document_id: str) -> Response:
        await note(request)
        found = state.documents.get(document_id)
        if not found:
            return problem(404, "DOCUMENT_NOT_FOUND", f"there is no document {document_id!r}")
        if found["state"] == "queued":
            found["polls"] -= 1
            if found["polls"] <= 0 and found["bad"]:
                found |= {
                    "state": "dead_letter",
                    "stage": "received",
                    "failure_reason": "PARSE_FAILED",
                    "failure_message": "the file is damaged",
                    "failure_stage": "parsed",
                }
            elif found["polls"] <= 0:
                found["state"] = "ready"
        return JSONResponse({"document": found})

    @app.delete("/v1/documents/{document_id:path}")
    async def delete_document(request: Request, document_id: str) -> Response:
        await note(request)
        state.documents.pop(document_id, None)
        return Response(status_code=204)

    @app.get("/v1/collections")
    async def collections(request: Request) -> Response:
        await note(request)
        collection = {
            "name": "default",
            "embedding_model": "all-MiniLM-L6-v2",
            "dimensions": 384,
            "fields": {},
            "is_acl_required": False,
            "language": "english",
            "description": "",
            "created_at": "2026-01-01T00:00:00Z",
            "document_count": len(state.documents),
            "chunk_count": 2,
            "index_description": "flat",
        }
        return JSONResponse({"collections": [collection], "next_page_token": ""})

    @app.get("/v1/collections/{name}")
    async def get_collection(request: Request, name: str) -> Response:
        await note(request)
        if name not in state.collections:
            return problem(404, "COLLECTION_NOT_FOUND", f"there is no collection {name!r}")
        collection = {
            "name": name,
            "embedding_model": "all-MiniLM-L6-v2",
            "document_count": len(state.documents),
            "chunk_count": 2,
        }
        return JSONResponse({"collection": collection})

    @app.post("/v1/collections")
    async def create_collection(request: Request) -> Response:
        body = await request.json()
        await note(request, body)
        state.collections.add(body["name"])
        return JSONResponse({"collection": body}, 201)

    @app.delete("/v1/collections/{name}")
    async def delete_collection(request: Request, name: str) -> Response:
        await note(request)
        state.collections.discard(name)
        return Response(status_code=204)

    @app.post("/v1/keys")
    async def create_key(request: Request) -> Response:
        body = await request.json()
        await note(request, body)
        return JSONResponse({"key": {"key_id": "k1", **body}, "secret": "crn_k1_secret"}, 201)

    @app.get("/v1/keys")
    async def list_keys(request: Request) -> Response:
        await note(request)
        return JSONResponse({"keys": [key("k1", "ci", "viewer")]})

    @app.delete("/v1/keys/{key_id}")
    async def revoke_key(request: Request, key_id: str) -> Response:
        await note(request)
        return Response(status_code=204)

    @app.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        await note(request, await request.json())
        return JSONResponse({"feedback_id": "f1"}, 201)

    return app


@contextlib.contextmanager
def running_fake_gateway() -> Iterator[FakeGateway]:
    """Serves in a thread on a free port while the block lasts."""
    state = FakeGateway()
    config = uvicorn.Config(
        build(state), host="127.0.0.1", port=0, log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.should_exit = True
        thread.join(10)
