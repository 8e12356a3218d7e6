"""The table of `cairn status` in terminals of any width."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from cli.commands.status import overview

PROCESSES = [
    {
        "name": "embedding-1",
        "health": "NOT_SERVING",
        "pid": 1234567,
        "address": "127.0.0.1:49101",
        "http_address": "127.0.0.1:48080",
        "metrics_address": "127.0.0.1:49201",
        "rss_bytes": 1_234_000_000,
        "started_at": datetime.now(UTC).isoformat(),
        "restart_count": 3,
    }
]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140])
def test_no_cell_is_cut_however_narrow_the_terminal(width: int):
    screen = StringIO()
    Console(file=screen, width=width).print(overview(PROCESSES, width))
    shown = screen.getvalue()
    assert "…" not in shown
    assert all(len(line) <= width for line in shown.splitlines())
    assert all(cell in shown for cell in ("embedding-1", "NOT_SERVING", "1,234 MB"))
    assert ("127.0.0.1:49101" in shown) == (width >= 60)
    assert ("127.0.0.1:49201" in shown) == (width >= 140)
