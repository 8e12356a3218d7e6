"""The shared tier of the cache, over a real Valkey: shared, bounded, and never in the way."""

from __future__ import annotations

import asyncio
import struct

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.embedding.cache import CachedVector, LocalCache, VectorCache
from services.embedding.options import Caller, EmbedOptions
from services.embedding.shared_cache import ValkeyCache
from tests.kit.embedding_engines import embedding_parts
from tests.kit.valkey import running_valkey

ALICE = Caller("alice")


@pytest.fixture
def valkey(tmp_path):
    with running_valkey(tmp_path) as running:
        yield running


def entry(value=1.0):
    return CachedVector(np.full(8, value, np.float32), 3, is_truncated=True, codes=b"codes")


def failed():
    return REGISTRY.get_sample_value("cairn_embedding_shared_cache_failures_total")


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_what_one_replica_embedded_another_one_finds(valkey):
    counts = []
    for _ in range(2):
        shared = ValkeyCache(valkey.url, keep_seconds=60)
        cache = VectorCache(LocalCache(1_000_000), shared)
        async with embedding_parts(cache=cache) as parts:
            result = await parts.embedder.embed(["rock", "sand"], EmbedOptions(), ALICE)
            counts.append((result.cache_hits, result.encoded_tokens))
            other = await parts.embedder.embed(["rock"], EmbedOptions(), Caller("bob"))
        await cache.close()
        assert other.cache_hits == (0 if len(counts) == 1 else 1)
    assert counts == [(0, 6), (2, 0)]


async def test_replicas_share_token_codes(valkey):
    codes, hits = [], []
    for _ in range(2):
        cache = VectorCache(LocalCache(1_000_000), ValkeyCache(valkey.url, keep_seconds=60))
        async with embedding_parts(cache=cache) as parts:
            options = EmbedOptions(with_token_codes=True)
            result = await parts.embedder.embed(["hard rock"], options, ALICE)
        await cache.close()
        codes += result.token_codes
        hits.append(result.cache_hits)
    assert hits == [0, 1]
    assert codes[0] == codes[1] != b""


async def test_entries_survive_the_trip_and_expire(valkey):
    cache = ValkeyCache(valkey.url, keep_seconds=60)
    cache.put([(b"k", entry())])
    await until(lambda: valkey.client().dbsize() == 1)
    found = await cache.get([b"k", b"other"])
    await cache.close()
    assert list(found) == [b"k"]
    assert (found[b"k"].token_count, found[b"k"].is_truncated) == (3, True)
    np.testing.assert_array_equal(found[b"k"].vector, entry().vector)
    assert found[b"k"].codes == b"codes"
    (name,) = valkey.client().keys()
    assert 0 < valkey.client().ttl(name) <= 60


async def test_values_that_are_not_ours_are_no_entries(valkey):
    names = (b"short", b"long", b"odd")
    valkey.client().set(b"cairn:embedding:2:short", b"abc")
    valkey.client().set(b"cairn:embedding:2:long", struct.pack("<IBI", 3, 0, 800) + b"abcd")
    valkey.client().set(b"cairn:embedding:2:odd", struct.pack("<IBI", 3, 0, 3) + b"abcd")
    cache = ValkeyCache(valkey.url, keep_seconds=60)
    assert await cache.get(names) == {}
    await cache.close()


async def test_a_frozen_server_costs_one_request_its_time_out_and_then_nothing(valkey):
    cache = ValkeyCache(valkey.url, keep_seconds=60, pause_seconds=0.02)
    cache.put([(b"k", entry())])
    await until(lambda: valkey.client().dbsize() == 1)
    valkey.freeze()
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await cache.get([b"k"]) == {}
    first = loop.time() - started
    failures = failed()
    started = loop.time()
    for _ in range(100):
        assert await cache.get([b"k"]) == {}
    rest = loop.time() - started
    assert rest < first  # a hundred requests together: none of them waited
    await until(lambda: failed() >= failures + 2)  # asked in vain
    assert cache._is_left_alone
    valkey.thaw()
    await until(lambda: not cache._is_left_alone)
    assert list(await cache.get([b"k"])) == [b"k"]
    await cache.close()


async def test_no_request_waits_for_a_dead_server_once_it_is_known(valkey):
    cache = ValkeyCache(valkey.url, keep_seconds=60, pause_seconds=0.02)
    valkey.process.kill()
    valkey.process.wait()
    assert await cache.get([b"k"]) == {}
    cache.put([(b"k", entry())])
    await asyncio.sleep(0.2)  # some questions of the cache's own later
    assert await asyncio.gather(*(cache.get([b"k"]) for _ in range(10))) == [{}] * 10
    assert cache._is_left_alone
    await cache.close()
