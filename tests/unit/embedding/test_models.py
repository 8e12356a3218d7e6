"""The registry: models come and go while others serve."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.embedding.batcher import Batcher
from services.embedding.intake import BatcherLimits
from services.embedding.models import open_models, resolve_source
from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    UnavailableError,
)
from tests.kit.embedding_engines import StandInEngines


@pytest.fixture
async def models():
    async with Batcher(BatcherLimits()) as batcher:
        engines = StandInEngines(batcher)
        async with open_models(engines, max_models=3) as registry:
            registry.opened = engines.opened
            yield registry


async def test_before_the_first_model_the_service_is_not_ready(models):
    with pytest.raises(UnavailableError) as caught:
        models.get("")
    assert caught.value.retry_after_seconds > 0


async def test_the_first_model_is_the_default_until_another_is(models, tmp_path):
    await models.load("a", str(tmp_path))
    await models.load("b", str(tmp_path))
    assert models.get("").name == "a"
    await models.load("c", str(tmp_path), make_default=True)
    assert [model.name for model in models.list()] == ["c", "a", "b"]
    assert models.get("b").name == "b"
    assert models.opened == [tmp_path] * 3


async def test_the_thread_that_loads_ends_with_it(models, tmp_path):
    await models.load("a", str(tmp_path))
    loaders = [each for each in threading.enumerate() if each.name.startswith("load")]
    await asyncio.to_thread(lambda: [each.join(timeout=20) for each in loaders])
    assert not any(each.is_alive() for each in loaders)


async def test_names_are_unique_and_models_are_counted(models, tmp_path):
    for name in ("a", "b", "c"):
        await models.load(name, str(tmp_path))
    for name in ("a", "d"):
        with pytest.raises(FailedPreconditionError) as caught:
            await models.load(name, str(tmp_path))
        assert caught.value.reason is Reason.STATE_CONFLICT


async def test_unknown_models_are_named_with_the_known_ones(models, tmp_path):
    await models.load("a", str(tmp_path))
    with pytest.raises(NotFoundError, match=r"'x'.*loaded are a") as caught:
        models.get("x")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    with pytest.raises(NotFoundError):
        await models.unload("x")


async def test_the_default_model_stays(models, tmp_path):
    await models.load("a", str(tmp_path))
    with pytest.raises(FailedPreconditionError):
        await models.unload("a")


async def test_unloading_waits_for_running_requests(models, tmp_path):
    await models.load("a", str(tmp_path))
    encoder = (await models.load("b", str(tmp_path))).encoder
    with models.lease("b"):
        unloading = asyncio.ensure_future(models.unload("b"))
        await asyncio.sleep(0)
        with pytest.raises(NotFoundError):
            models.get("b")
        assert not encoder.is_closed
    await unloading
    assert encoder.is_closed


async def test_a_cancelled_unload_leaves_the_model(models, tmp_path):
    await models.load("a", str(tmp_path))
    await models.load("b", str(tmp_path))
    with models.lease("b"):
        unloading = asyncio.ensure_future(models.unload("b"))
        await asyncio.sleep(0)
        unloading.cancel()
        await asyncio.wait([unloading])
    assert models.get("b").name == "b"


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "../a\n", "a\x00", "n" * 129, "名"])
async def test_bad_names_are_refused(models, name, tmp_path):
    with pytest.raises(InvalidArgumentError, match="name"):
        await models.load(name, str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="name"):
        await models.unload(name)


@pytest.mark.parametrize(
    "source", ["", "x" * 5000, "/no/such/folder", "a\x00b", "\udc80", "two words", "/etc/passwd"]
)
def test_bad_sources_are_refused(source):
    with pytest.raises(InvalidArgumentError, match="source"):
        resolve_source(source)


def test_a_hub_id_is_never_fetched_when_the_hub_is_off(monkeypatch):
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="HF_HUB_OFFLINE"):
        resolve_source("nobody/no-such-model")


def test_a_hub_id_needs_the_hubs_package(monkeypatch):
    find_spec = __import__("importlib").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name: None if name == "huggingface_hub" else find_spec(name),
    )
    with pytest.raises(InvalidArgumentError, match="huggingface_hub"):
        resolve_source("owner/name")
