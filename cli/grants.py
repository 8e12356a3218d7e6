"""Grants as they are typed: `ROLE` or `ROLE@COLLECTION,COLLECTION`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

Grants = Annotated[
    list[str] | None,
    typer.Option(
        "--grant",
        help="ROLE for everything, or ROLE@COLLECTION,… ('hr-*' for any ending); repeat for more.",
    ),
]
Tenant = Annotated[
    str, typer.Option("--tenant", help="Tenant; the key's own unless said. Home admins only.")
]


def read_grants(texts: Iterable[str] | None) -> list[dict[str, Any]]:
    """Returns the API's form of grants."""
    found = []
    for text in texts or ():
        role, _, collections = text.partition("@")
        named = [each.strip() for each in collections.split(",") if each.strip()]
        found.append({"role": role, "collections": named})
    return found


def show_grants(grants: Sequence[Mapping[str, Any]]) -> str:
    """Returns grants as they are typed."""
    return " ".join(
        each["role"] + (f"@{','.join(each['collections'])}" if each["collections"] else "")
        for each in grants
    )
