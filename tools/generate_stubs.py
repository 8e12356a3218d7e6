"""Generates the stubs beside the .proto files, or checks that they are current.

generate_stubs.py            writes *_pb2.py, *_pb2.pyi and *_pb2_grpc.py
generate_stubs.py --check    exit status 1 when generating would change a file

The generator is the oldest supported grpcio-tools, pinned in pyproject.toml: stubs refuse to load
with a grpcio older than the tools that made them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent.parent / "protos"
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py")


def generate(target: Path) -> None:
    """Writes the stubs of every contract below `target`.

    Raises:
        SystemExit: protoc refused a contract; it has printed why.
    """
    from importlib.resources import files

    from grpc_tools import protoc

    contracts = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    well_known = str(files("grpc_tools") / "_proto")
    code = protoc.main(
        [
            "protoc",
            f"-I{PROTOS}",
            f"-I{well_known}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            *contracts,
        ]
    )
    if code != 0:
        raise SystemExit(code)


def stale_files(fresh: Path) -> list[str]:
    """Returns the stubs that a fresh generation would add, change or remove."""

    def content(root: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(root)): path.read_bytes()
            for pattern in PATTERNS
            for path in root.rglob(pattern)
        }

    here, there = content(PROTOS), content(fresh)
    return sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))


def main(arguments: list[str]) -> int:
    """Generates, or checks with --check."""
    if arguments == ["--check"]:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder))
            stale = stale_files(Path(folder))
        for name in stale:
            print(f"protos/{name} is not what the contract generates: run `make protos`")
        return 1 if stale else 0
    generate(PROTOS)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
