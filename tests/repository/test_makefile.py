"""Set-up and the steps of `make test`: what they promise holds without installing anything."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.repository.files import ROOT, read
from tools.setup import shortened


def run(*command, env=None, cwd=ROOT):
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(folder, name, version, *, modules=True):
    """An interpreter as far as tools/find_python.sh looks."""
    path = folder / name
    old = "true" if version >= (3, 11) else "false"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *version_info*) {old};; *ensurepip*) {str(modules).lower()};;'
        f" *--version*) echo Python {version[0]}.{version[1]};; esac\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path):
    """A PATH with a shell and nothing else."""
    for tool in ("sh", "echo", "true", "false"):
        program = shutil.which(tool)
        assert program
        (tmp_path / tool).symlink_to(program)
    return tmp_path


def find(bare, **env):
    return run("/bin/sh", "tools/find_python.sh", env={"PATH": str(bare), "PYTHON": "", **env})


def test_the_newest_enough_python_is_found(bare):
    fake_python(bare, "python3", (3, 9))
    wanted = fake_python(bare, "python3.12", (3, 12))
    assert find(bare).stdout.strip() == str(wanted)


def test_the_python_that_was_asked_for_is_taken(bare):
    fake_python(bare, "python3", (3, 12))
    wanted = fake_python(bare, "mine", (3, 13))
    assert find(bare, PYTHON=str(wanted)).stdout.strip() == str(wanted)


@pytest.mark.parametrize(
    ("version", "modules", "message"),
    [((3, 9), True, "needs Python 3.11 or newer"), ((3, 12), False, "python3-venv")],
)
def test_what_is_missing_is_said(bare, version, modules, message):
    fake_python(bare, "python3", version, modules=modules)
    done = find(bare)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_python_that_is_too_old_is_not_replaced_in_silence(bare):
    fake_python(bare, "python3", (3, 12))
    old = fake_python(bare, "mine", (3, 9))
    done = find(bare, PYTHON=str(old))
    assert done.returncode == 1
    assert str(old) in done.stderr


@pytest.fixture
def clone(tmp_path):
    """As much of a clone as tools/setup.py reads, with an environment that is set up."""
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "tools/setup.py"):
        (tmp_path / name).write_text(read(name), encoding="utf-8")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    stamp = run(
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, 'tools'); import setup; print(setup.fingerprint('demo', setup.TORCH))",
        cwd=tmp_path,
    )
    assert stamp.returncode == 0, stamp.stderr
    (tmp_path / ".venv" / ".cairn-demo").write_text(stamp.stdout, encoding="utf-8")
    return tmp_path


def is_current(clone, **env):
    done = run(
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, 'tools'); import setup; "
        "print(setup.is_current(setup.ROOT / '.venv', 'demo', setup.fingerprint('demo', setup.TORCH)))",
        cwd=clone,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip() == "True"


def test_a_second_set_up_does_nothing(clone):
    assert is_current(clone)
    done = run(sys.executable, "tools/setup.py", "demo", cwd=clone, env={"PATH": ""})
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("path", "old", "new", "stands"),
    [
        ("pyproject.toml", 'version = "', 'version = "9', False),
        ("pyproject.toml", "line-length = 100", "line-length = 99", True),
        ("constraints.txt", "grpcio==", "grpcio===", False),
    ],
)
def test_only_what_decides_the_content_sets_up_again(clone, path, old, new, stands):
    file = clone / path
    assert old in file.read_text(encoding="utf-8")
    file.write_text(file.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    assert is_current(clone) is stands


def test_another_torch_sets_up_again(clone):
    assert not is_current(clone, TORCH="2.9.0")


def test_an_environment_whose_interpreter_is_gone_is_made_anew(clone):
    (clone / ".venv" / "bin" / "python").unlink()
    (clone / ".venv" / "bin" / "python").symlink_to("/nonexistent/python")
    assert not is_current(clone)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "Collecting regex>=2025 (from transformers->sentence-transformers)\n",
            "Collecting regex>=2025",
        ),
        (
            "Processing /some/where/cloudpickle-3.1.2-py3-none-any.whl (from joblib)\n",
            "Taking cloudpickle-3.1.2-py3-none-any.whl",
        ),
        (
            "  Downloading narwhals-2.28.0-py3-none-any.whl (490 kB)\n",
            "Downloading narwhals-2.28.0-py3-none-any.whl (490 kB)",
        ),
        ("   ━━━━━━ 490.6/490.6 kB 334.1 MB/s eta 0:00:00\n", ""),
        ("Requirement already satisfied: grpcio in ./x\n", ""),
        ("Successfully installed a-1 b-2 c-3\n", "3 libraries installed"),
        ("ERROR: " + "x" * 300 + "\n", "ERROR: " + "x" * 300),
    ],
)
def test_lines_of_pip_are_short_and_errors_are_whole(line, shown):
    assert shortened(line) == shown


def test_every_step_runs_and_one_failure_fails_the_whole(tmp_path):
    (tmp_path / "Makefile").write_text("good:\n\t@echo fine\nbad:\n\t@false\n", encoding="utf-8")
    steps = str(ROOT / "tools" / "run_steps.sh")
    done = run(steps, "bad", "good", cwd=tmp_path)
    assert done.returncode == 1
    assert "fine" in done.stdout, "a step after a failed one runs all the same"
    assert [line.split()[:2] for line in done.stdout.splitlines()[-2:]] == [
        ["bad", "FAILED"],
        ["good", "ok"],
    ]
    assert run(steps, "good", cwd=tmp_path).returncode == 0


def test_tested_versions_lie_within_the_ranges():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    ranges = [Requirement(line) for requirements in lists for line in requirements]
    pinned = dict(
        line.split("==") for line in read("constraints.txt").splitlines() if line and line[0] != "#"
    )
    outside = [
        f"{each.name}=={pinned[each.name.lower()]} is not within {each.specifier}"
        for each in ranges
        if each.name.lower() in pinned and not each.specifier.contains(pinned[each.name.lower()])
    ]
    assert outside == []


def test_every_dependency_is_explained():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {Requirement(line).name for requirements in lists for line in requirements}
    page = read("docs/decisions/0010-dependencies.md").replace("`-", "`opentelemetry-")
    silent = [name for name in sorted(names - {"cairn-rag"}) if f"`{name}" not in page]
    assert silent == []
