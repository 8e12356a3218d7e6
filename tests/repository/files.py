"""Where things are in the repository, for the tests about it."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("gateway", "embedding", "retrieval", "generation", "ingestion")


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def tracked(*patterns: str) -> list[Path]:
    """Files that git tracks, or would: what is ignored is no part of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:  # an exported tree: everything but hidden folders, environments and caches
        paths = [
            path
            for path in ROOT.rglob("*")
            if not any(
                part.startswith(".") or part == "__pycache__"
                for part in path.relative_to(ROOT).parts[:-1]
            )
            and (not patterns or any(path.match(pattern) for pattern in patterns))
        ]
    return sorted(path for path in paths if path.is_file())
