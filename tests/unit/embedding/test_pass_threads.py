"""A model's passes take the threads that it was given, whatever another pass sets meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from services.embedding.engines import bert_encoder
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.engines.opening import EngineSettings, LocalEngines
from services.embedding.intake import BatcherLimits
from tests.kit.tiny_bert import tiny_bert_folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    former = torch.get_num_threads()
    yield
    torch.set_num_threads(former)


def test_a_model_that_is_opened_beside_a_small_pass_keeps_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = bert_encoder._load

    def beside_a_small_pass(*given: Any, **more: Any) -> Any:
        torch.set_num_threads(1)  # of the process: also that of the thread that loads
        return load(*given, **more)

    monkeypatch.setattr(bert_encoder, "_load", beside_a_small_pass)
    engines = LocalEngines(
        EngineSettings(precision="float32", threads=2), cast("Any", None), BatcherLimits()
    )
    encoder = cast("BertEncoder", engines.open(tiny_bert_folder(tmp_path / "m"), "bert"))
    for rows, threads in ((14, 1), (1_000, 2)):
        torch.set_num_threads(2)
        with encoder._threads_for(rows):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 2
