"""Answers, passages and stage times as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.terminal import styled

_MAX_PASSAGE_CHARACTERS = 400
_WRAP = re.compile(r"(?<=[^\n|])[ \t]*\n[ \t]{0,3}(?=[^\s|#>*+\-`\d])")


def show_answer(console: Console, response: Mapping[str, Any], *, has_shown_text: bool) -> None:
    """Writes the answer, or why there is none, its citations and whatever is worth a notice.

    Args:
        console: Where to.
        response: The response of `POST /v1/query`.
        has_shown_text: Whether the answer itself stands there already (it was streamed).
    """
    if not has_shown_text:
        style = "yellow" if response["refused"] else "bold"
        console.print(styled(_reflowed(response["answer"]), style))
    for citation in response["citations"]:
        console.print(citation_line(citation))
        console.print(_indented(styled(f"“{_reflowed(citation['text'])}”", "italic"), 6))
    for notice in response["degraded"]:
        console.print(styled(f"degraded: {notice}", "yellow"))


def citation_line(citation: Mapping[str, Any]) -> Text:
    """Returns a citation's number, file and place."""
    return Text.assemble(
        (f"  [{citation['marker']}] ", "cyan"),
        styled(citation["uri"] or citation["document_id"], "bold cyan"),
        (f"  characters {citation['start']}–{citation['end']}", "dim"),
    )


def show_passages(console: Console, passages: Sequence[Mapping[str, Any]]) -> None:
    """Writes found passages, best first."""
    if not passages:
        console.print("Nothing found.")
    for number, found in enumerate(passages, start=1):
        passage, text = found["passage"], found["passage"]["text"]
        place = " › ".join(passage["heading_path"])
        console.print(
            Text.assemble(
                (f"{number:2}. ", "cyan"),
                styled(passage["uri"] or passage["document_id"], "bold cyan"),
                styled(f"  {place}" if place else "", "dim"),
                (f"  {found['scores']['final']:.3f}", "green"),
            )
        )
        short = text[:_MAX_PASSAGE_CHARACTERS]
        shown = styled(_reflowed(short) + ("…" if len(short) < len(text) else ""))
        console.print(_indented(shown, 4), "")


def _indented(text: Text, columns: int) -> Padding:
    return Padding(text, (0, 0, 0, columns), expand=False)


def _reflowed(text: str) -> str:
    """Returns the text with the line breaks of running text as spaces: sources are often wrapped.

    Lists, tables and indented code keep their lines.
    """
    return _WRAP.sub(" ", text)


def stage_table(rows: Sequence[tuple[str, Mapping[str, float]]]) -> Table:
    """Returns a table of milliseconds, one row per stage and one column per request."""
    table = Table("stage, milliseconds", show_edge=False, pad_edge=False)
    stages = list(dict.fromkeys(stage for _, times in rows for stage in times if stage != "total"))
    for name, _ in rows:
        table.add_column(name, justify="right")
    for stage in [*stages, "total"]:
        cells = [f"{times[stage]:.1f}" if stage in times else "–" for _, times in rows]
        table.add_row(stage, *cells, style="bold" if stage == "total" else "")
    return table
