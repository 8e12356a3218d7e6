"""The cache keeps what was used last, within its bytes, and tenants apart."""

from __future__ import annotations

import dataclasses

import numpy as np

from services.embedding.cache import CachedVector, LocalCache, cache_key


def entry(value=1.0, dimensions=100):
    return CachedVector(np.full(dimensions, value, dtype=np.float32), 3, is_truncated=False)


def test_the_least_recently_used_entries_leave():
    cache = LocalCache(2500)  # 800 bytes an entry, with its overhead
    for key in (b"a", b"b", b"c"):
        cache.put([(key, entry())])
    assert cache.get(b"a") is not None
    cache.put([(b"d", entry())])
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None
    assert cache.size_bytes == 2400


def test_replacing_an_entry_does_not_count_it_twice():
    cache = LocalCache(10_000)
    for value in range(5):
        cache.put([(b"k", entry(value))])
    assert cache.size_bytes == 800
    assert cache.get(b"k").vector[0] == 4


def test_codes_count_and_an_entry_without_is_none_for_who_wants_them():
    cache = LocalCache(10_000)
    cache.put([(b"k", entry())])
    assert cache.get(b"k", with_codes=True) is None
    cache.put([(b"k", dataclasses.replace(entry(), codes=b"x" * 200))])
    assert cache.size_bytes == 1000
    assert cache.get(b"k", with_codes=True).codes == cache.get(b"k").codes == b"x" * 200


def test_no_bytes_keep_nothing():
    cache = LocalCache(0)
    cache.put([(b"k", entry())])
    assert cache.get(b"k") is None
    assert cache.size_bytes == 0


def test_each_part_of_a_key_counts():
    base = {"tenant": "t", "revision": "r", "prompt": "p", "content": b"c"}
    keys = {cache_key(**base)}
    for part, value in (("tenant", "u"), ("revision", "s"), ("prompt", ""), ("content", b"d")):
        keys.add(cache_key(**(base | {part: value})))
    keys.add(cache_key(tenant="tr", revision="", prompt="p", content=b"c"))
    assert len(keys) == 6
