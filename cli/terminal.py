"""Writing to the terminal."""

from __future__ import annotations

import re
import sys

from rich.console import Console
from rich.text import Text

out = Console(highlight=False)
"""Answers."""
err = Console(stderr=True, highlight=False)
"""Progress and complaints: a pipe behind the program gets answers only."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Returns `text` without the characters that steer a terminal: documents may hold any."""
    return _CONTROL.sub("", text)


def styled(text: str, style: str = "") -> Text:
    """Returns text that is shown as it is, whatever it looks like."""
    return Text(plain(text), style=style)


def write_json(body: str) -> None:
    """Writes a response's body to stdout, byte for byte."""
    sys.stdout.write(body if body.endswith("\n") else f"{body}\n")
    sys.stdout.flush()


def megabytes(count: int) -> str:
    """Returns bytes as people read them."""
    return f"{count / 1e6:,.0f} MB"
