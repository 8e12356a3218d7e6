"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from cli.connection import DEFAULT_DATA_DIR

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", envvar="CAIRN_DATA_DIR", help="Folder with the suite's state."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the API's response as it is.")]
Filter = Annotated[
    str,
    typer.Option(
        "--filter", help="Condition on metadata: 'year >= 2026 AND doc_type = \"policy\"'."
    ),
]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Collection to use.")]

__all__ = ["DEFAULT_DATA_DIR", "Collection", "DataDir", "Filter", "Json"]
