"""`cairn usage` and `cairn limits` against the real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.kit.gateway import RunningGateway

ROOT = Path(__file__).parents[3]


async def cairn(gw: RunningGateway, *arguments: str) -> tuple[int, str, str]:
    """Runs the program; returns exit code, output and errors."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")}
    known |= {"CAIRN_URL": gw.url, "CAIRN_API_KEY": gw.key, "COLUMNS": "160"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        cwd=ROOT,
        env=known,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_usage_is_shown_as_table_csv_and_json(gw: RunningGateway) -> None:
    async with gw.client() as client:
        body = {"query": "How does granite form?"}
        assert (await client.post("/v1/query", json=body)).status_code == 200
    (code, table, errors), csv, found, events, check = await asyncio.gather(
        cairn(gw, "usage", "--by", "operation,collection"),
        cairn(gw, "usage", "--csv"),
        cairn(gw, "usage", "--json"),
        cairn(gw, "usage", "events"),
        cairn(gw, "usage", "check"),
    )
    assert code == 0, errors
    assert "query" in table
    assert "default" in table
    header, row, *_ = csv[1].splitlines()
    assert header.startswith("day,operation,user,collection,tenant,request_count")
    assert ",query," in row
    assert json.loads(found[1])["total"]["request_count"] == 1
    assert " ok " in events[1]
    assert (check[0], "every sum is that of its requests" in check[2]) == (0, True)


async def test_limits_are_set_shown_and_removed(gw: RunningGateway) -> None:
    arguments = ("tokens", "month", "--key", "each")
    code, _, errors = await cairn(
        gw, "limits", "set", "tokens", "month", "5000", "--key", "each", "--mode", "soft"
    )
    assert code == 0, errors
    shown, rules, wrong, two = await asyncio.gather(
        cairn(gw, "limits"),
        cairn(gw, "limits", "rules", "--json"),
        cairn(gw, "limits", "set", "streams", "month", "5"),
        cairn(gw, "limits", "set", *arguments[:2], "5", "--key", "each", "--user", "each"),
    )
    (line,) = [each for each in shown[1].splitlines() if "tokens/month" in each]
    assert {"soft", "5000", "tenant"} <= set(line.split())
    (rule,) = [
        each
        for each in json.loads(rules[1])["rules"]
        if each["period"] == "month" and not each["tier"]
    ]
    assert (rule["subject"], rule["amount"], rule["mode"]) == ("key", 5000, "soft")
    assert (wrong[0], "at_once" in wrong[2]) == (1, True)
    assert two[0] == 1
    assert (await cairn(gw, "limits", "unset", *arguments))[0] == 0
    assert (await cairn(gw, "limits", "unset", *arguments))[0] == 1
