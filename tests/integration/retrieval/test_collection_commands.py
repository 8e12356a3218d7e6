"""`cairn collections export | import | optimize | check | quota` against a running service."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from services.sql.engine import sqlite_url
from tests.kit.retrieval import (
    Service,
    create,
    direction,
    document,
    ids,
    retrieval_service,
    scope,
    search,
    upsert,
)


@pytest.fixture
async def service(tmp_path):
    async with retrieval_service(sqlite_url(tmp_path / "a.db")) as running:
        await create(running)
        for start in (0, 150):
            await upsert(
                running,
                *(
                    document(
                        f"d{n:03}", [f"text {n}"], vectors=[direction(n)], n=n,
                        acl=["user:a"] if n % 2 else [],
                    )
                    for n in range(start, start + 150)
                ),
            )  # fmt: skip
        yield running


async def cairn(service: Service, *arguments: str | Path) -> tuple[int, str, str]:
    """Runs a command; returns its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "collections", *map(str, arguments), "--tenant", "acme",
        env={**os.environ, "CAIRN_RETRIEVAL_ADDRESS": service.target},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaints = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), complaints.decode()


async def figures(service: Service, *arguments: str | Path) -> dict[str, Any]:
    code, output, complaints = await cairn(service, *arguments, "--json")
    assert code == 0, complaints
    return json.loads(output)


async def test_export_goes_on_where_it_broke_off_and_comes_in_whole(service, tmp_path):
    file = tmp_path / "docs.cairn"
    done = await figures(service, "export", "docs", file)
    assert done["documents"] == 300
    whole = file.read_bytes()
    part = tmp_path / "docs.cairn.part"
    assert not part.exists()
    # What a broken export leaves: some messages, and half of one.
    part.write_bytes(whole[: len(whole) // 2])
    file.unlink()
    done = await figures(service, "export", "docs", file)
    assert done["documents"] == 300
    assert file.read_bytes() == whole

    done = await figures(service, "import", "copy", file)
    assert done["documents"] == 300
    for by in (scope(), scope("user:a")):
        one = await search(service, numbers=direction(7), by=by)
        other = await search(service, numbers=direction(7), by=by, name="copy")
        assert ids(one) == ids(other)
    assert not list(tmp_path.glob("*.imported"))


async def test_files_that_are_not_whole_are_refused(service, tmp_path):
    file = tmp_path / "docs.cairn"
    await figures(service, "export", "docs", file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])
    code, _, complaints = await cairn(service, "import", "copy", file)
    assert code == 1
    assert "cut short" in complaints
    file.write_bytes(b"something else")
    code, _, complaints = await cairn(service, "import", "copy", file)
    assert code == 1
    assert "no exported collection" in complaints
    code, _, complaints = await cairn(service, "export", "nothing", tmp_path / "x")
    assert code == 1
    assert "no collection" in complaints


async def test_optimize_check_and_quota(service):
    done = await figures(service, "optimize", "docs", "--index", "flat")
    assert int(done["chunk_count"]) == 300
    assert done["index_type"] == "INDEX_TYPE_FLAT"
    found = await figures(service, "check", "docs")
    assert found["is_consistent"]
    assert found["stored_document_count"] == "300"
    state = await figures(service, "quota", "--vectors", "300")
    assert (state["max_vectors"], state["vectors"], state["max_bytes"]) == (300, 300, None)
    state = await figures(service, "quota", "--vectors", "-1")
    assert state["max_vectors"] is None
    code, _, complaints = await cairn(service, "optimize", "docs", "--index", "nonsense")
    assert code == 1
    assert "hnsw_sq8" in complaints
