"""The models file says precisely what is wrong in it."""

from __future__ import annotations

import json

import pytest

from services.embedding.models_file import read_models_file
from services.rpc.errors import StartupError

ENDPOINT = {"url": "http://host/v1", "model": "m"}


def written(tmp_path, *models):
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"models": models}))
    return path


def test_no_file_names_no_models():
    assert read_models_file(None).models == ()


def test_folders_and_endpoints_stand_side_by_side(tmp_path):
    key = tmp_path / "key"
    key.write_text(" secret\n")
    path = written(
        tmp_path,
        {"name": "local", "source": "folder", "engine": "bert", "default": True},
        {
            "name": "far",
            "remote": {"endpoints": [ENDPOINT | {"api_key_file": str(key)}], "dimensions": 8},
        },
    )
    found = read_models_file(path)
    assert found.default.name == "local"
    assert found.models[1].remote.endpoints[0].key() == "secret"


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"name": "a"}, "either source or remote"),
        ({"name": "a", "source": "x", "sauce": 1}, "sauce"),
        ({"name": "a", "remote": {"endpoints": [], "dimensions": 8}}, "endpoints"),
        ({"name": "a", "remote": {"endpoints": [ENDPOINT]}}, "dimensions"),
        (
            {"name": "a", "remote": {"endpoints": [ENDPOINT | {"url": "x"}], "dimensions": 8}},
            "url",
        ),
    ],
)
def test_faults_are_named(tmp_path, model, problem):
    with pytest.raises(StartupError, match=problem):
        read_models_file(written(tmp_path, model))


def test_two_defaults_are_one_too_many(tmp_path):
    some = [{"name": name, "source": "x", "default": True} for name in "ab"]
    with pytest.raises(StartupError, match="default"):
        read_models_file(written(tmp_path, *some))


def test_a_missing_file_and_one_that_is_no_json_are_named(tmp_path):
    with pytest.raises(StartupError, match=r"models\.json"):
        read_models_file(tmp_path / "models.json")
    (tmp_path / "models.json").write_text("{")
    with pytest.raises(StartupError, match="JSON"):
        read_models_file(tmp_path / "models.json")
