"""The TypeScript types are what the routes say, and the compiler takes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TSC = ROOT / "tests" / "javascript" / "node_modules" / ".bin" / "tsc"
TYPES = ROOT / "clients" / "typescript" / "cairn.d.ts"

USE = """
import type { Operations, QueryBody, QueryView } from "TYPES";

const body: QueryBody = { query: "How does granite form?", mode: "hybrid" };
const method: Operations["query"]["method"] = "POST";
export function cited(answer: QueryView): string[] {
  return answer.citations.map((each) => `${each.marker} ${each.document_id} ${each.start}`);
}
export type Found = Operations["search"]["result"] extends { passages: unknown[] } ? true : never;
export const found: Found = true;
// @ts-expect-error - there is no such mode
export const wrong: QueryBody = { query: "x", mode: "guess" };
console.log(body, method);
"""


def test_types_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "tools/generate_typescript.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(
    not TSC.exists(),
    reason="npm's package typescript is missing: `make setup` installs it where npm is",
)
def test_the_compiler_takes_them(tmp_path: Path) -> None:
    program = tmp_path / "use.ts"
    program.write_text(USE.replace("TYPES", str(TYPES.with_suffix("").with_suffix(""))), "utf-8")
    done = subprocess.run(
        [TSC, "--noEmit", "--strict", "--lib", "es2022,dom", "--types", "", str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
