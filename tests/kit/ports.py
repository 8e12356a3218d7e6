"""Free ports, for processes that cannot be started on port 0."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Returns a port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]
