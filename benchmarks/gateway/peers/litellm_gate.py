"""What LiteLLM's proxy is given so that it does what the gateway does: auth, limits, usage.

Loaded by LiteLLM in its own environment; nothing of this repository is imported. Keys are checked
in memory, which is less work than its database would be; its own limiter counts requests and tokens
of the key; usage is added up by a logger.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import Counter
from typing import Any

from litellm.integrations.custom_logger import (  # pyright: ignore[reportMissingImports]
    CustomLogger,
)
from litellm.proxy._types import UserAPIKeyAuth  # pyright: ignore[reportMissingImports]

_KEY = os.environ["BENCH_KEY"]
_MANY = 1_000_000_000


async def authenticate(_request: Any, api_key: str) -> UserAPIKeyAuth:
    """Accepts the one key, with limits that are counted and never reached."""
    if not hmac.compare_digest(api_key, _KEY):
        raise PermissionError("not a key")
    name = hashlib.sha256(api_key.encode()).hexdigest()
    return UserAPIKeyAuth(api_key=name, user_id="bench", rpm_limit=_MANY, tpm_limit=_MANY)


class UsageLogger(CustomLogger):
    """Adds up tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: Counter[str] = Counter()

    async def async_log_success_event(
        self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Counts one answer."""
        usage = getattr(response_obj, "usage", None)
        if usage is not None:
            self.tokens["prompt"] += usage.prompt_tokens
            self.tokens["completion"] += usage.completion_tokens


usage_logger = UsageLogger()
