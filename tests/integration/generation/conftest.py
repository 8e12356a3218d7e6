"""One service over vLLM for all tests of this folder: it takes half a minute to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.generation_process import GenerationProcess, are_gone
from tests.kit.vllm_service import start


@pytest.fixture(scope="session")
def vllm_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GenerationProcess]:
    """The service; at its end no process of it is left."""
    with start(tmp_path_factory.mktemp("vllm") / "log") as running:
        processes = running.descendants()
        yield running
        running.process.terminate()
        assert running.process.wait(60) == 0
    assert are_gone(processes)
