"""What both clients share about HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from cairn_client.errors import ApiError, DeadlineError, error_of

if TYPE_CHECKING:
    import httpx

    from cairn_client.types import Document

POLL_SECONDS = 0.5
"""How often a document on its way is looked at."""


def headers_of(api_key: str, timeout_seconds: float) -> dict[str, str]:
    """Returns the headers of every call."""
    return {
        "authorization": f"Bearer {api_key}",
        "x-cairn-timeout-ms": str(max(1, round(timeout_seconds * 1e3))),
        "user-agent": "cairn-client",
    }


def json_of(response: httpx.Response) -> Any:
    """Returns the body's value; None for an empty body."""
    return response.json() if response.content else None


def failure_of(response: httpx.Response) -> ApiError:
    """Returns the error that a response tells."""
    problem: Any = {}
    if "json" in response.headers.get("content-type", ""):
        try:
            problem = response.json()
        except ValueError:
            problem = {}
    known = dict(problem) if isinstance(problem, Mapping) else {}
    told = response.headers.get("retry-after", "")
    if known.get("retry_after_seconds") is None and told.isdecimal():
        known["retry_after_seconds"] = float(told)
    return error_of(response.status_code, known)


def upload_form(
    name: str, content: IO[bytes] | bytes, collection: str, fields: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, tuple[str, IO[bytes] | bytes]]]:
    """Returns the fields and the file of a form."""
    form = {**fields, **({"collection": collection} if collection else {})}
    return form, {"file": (name, content)}


def check_settled(
    document_ids: Sequence[str], settled: Mapping[str, Document], *, is_late: bool
) -> bool:
    """Returns whether all documents are settled.

    Raises:
        DeadlineError: they are not, and it is late.
    """
    waiting = [each for each in document_ids if each not in settled]
    if waiting and is_late:
        detail = f"{len(waiting)} documents are still on their way, such as {waiting[0]!r}"
        raise DeadlineError(504, {"reason": "DEADLINE_EXCEEDED", "detail": detail})
    return not waiting
