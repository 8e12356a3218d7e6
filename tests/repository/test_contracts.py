"""Contracts: linted, formatted, compatible with what landed, and the stubs are theirs."""

import shutil
import subprocess
import sys

import pytest

from tests.repository.files import ROOT
from tools.generate_stubs import generate, stale_files


@pytest.fixture(scope="module")
def buf():
    program = shutil.which("buf", path=f"{sys.prefix}/bin") or shutil.which("buf")
    assert program, "buf-bin is in the test extra: run `make test`, or pip install -e '.[test]'"
    return program


@pytest.mark.parametrize(
    "arguments",
    [
        ["lint"],
        ["format", "--diff", "--exit-code"],
        ["breaking", "--against", "protos/landed.binpb"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_buf_finds_nothing(buf, arguments):
    done = subprocess.run([buf, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


def test_stubs_are_what_the_contracts_generate():
    done = subprocess.run(
        [sys.executable, "tools/generate_stubs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stale_stub_is_found(tmp_path):
    generate(tmp_path)
    assert stale_files(tmp_path) == []
    stub = tmp_path / "cairn" / "types" / "v1" / "scope_pb2.py"
    stub.write_text(stub.read_text(encoding="utf-8") + "#\n", encoding="utf-8")
    assert stale_files(tmp_path) == ["cairn/types/v1/scope_pb2.py"]
