"""Prints what an extra of pyproject.toml needs, one requirement per line, without the package.

    requirements.py              what every process needs
    requirements.py retrieval    what the extra adds

Images install this before the code is copied: a change of the code rebuilds one small layer.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN_EXTRA = re.compile(r"^cairn-rag\[([^\]]+)\]$")


def requirements(project: dict, extra: str) -> list[str]:
    """Returns the requirements of the extra, extras of our own that it names resolved."""
    found: list[str] = []
    for requirement in project["optional-dependencies"][extra]:
        own = OWN_EXTRA.match(requirement)
        if own is None:
            found.append(requirement)
            continue
        for name in own.group(1).split(","):
            found.extend(requirements(project, name.strip()))
    return list(dict.fromkeys(found))


def main(extras: list[str]) -> int:
    """Prints the requirements of the extras, or of the package without any."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [line for extra in extras for line in requirements(project, extra)]
    print("\n".join(lines or project["dependencies"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
