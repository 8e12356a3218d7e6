"""Fetches a provider's documents: bounded in time and size, without redirects."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from typing import Any

from services.gateway.tokens.issuers import check_url
from services.rpc.errors import Reason, UnavailableError

TIMEOUT_SECONDS = 4.0
_MAX_BYTES = 1_000_000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A provider that moves is configured anew: a redirect could lead anywhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes whatever there is
        """Follows none."""


_OPENER = urllib.request.build_opener(_NoRedirects)


async def fetch_json(url: str) -> dict[str, Any]:
    """Returns the JSON object at an address.

    Raises:
        UnavailableError: nothing, or no object, comes from there.
    """
    try:
        check_url(url)
        async with asyncio.timeout(TIMEOUT_SECONDS + 1):
            found = json.loads(await asyncio.to_thread(_read, url))
    except (OSError, ValueError, RecursionError) as error:  # the time-out is an OSError, too
        raise _no_answer() from error
    if not isinstance(found, dict):
        raise _no_answer()
    return found


def _read(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked: https, or this machine
    with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as response:
        content: bytes = response.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError("too large")
    return content


def _no_answer() -> UnavailableError:
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "the identity provider does not give its keys",
        metadata={"stage": "auth"},
        retry_after_seconds=1.0,
    )
