"""Services that use numpy keep its library from starting threads, which spin for work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, {package}, numpy
square = numpy.ones((512, 512), numpy.float32)
assert (square @ square)[0, 0] == 512
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
@pytest.mark.parametrize(
    "package", ["services.embedding", "services.gateway", "services.retrieval"]
)
def test_a_product_of_matrices_takes_one_thread(package: str) -> None:
    kept = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(package=package)],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
