"""A segment's folder is there whole or not at all, and no damage goes unseen."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from services.retrieval.vectors import (
    BuildSpec,
    DamagedSegmentError,
    IndexKind,
    build,
    open_segment,
)

VECTORS = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)


def built(folder, kind):
    build(VECTORS, BuildSpec(kind, 8, links=4, lists=4, sample=5), folder)
    return folder


@pytest.mark.parametrize("kind", [IndexKind.HNSW_SQ8, IndexKind.RABITQ, IndexKind.IVF_SQ8])
def test_every_flipped_cut_or_missing_byte_is_seen(tmp_path, kind):
    folder = built(tmp_path / "s", kind)
    rng = np.random.default_rng(1)
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        places = {0, len(good) - 1, *rng.integers(len(good), size=4).tolist()} if good else set()
        damaged = [
            good[:at] + bytes([good[at] ^ (1 << int(rng.integers(8)))]) + good[at + 1 :]
            for at in places
        ]
        for bad in [*damaged, good[:-1], good + b"\0", None]:
            if bad == good or (good == b"" and bad == b""):
                continue
            path.unlink() if bad is None else path.write_bytes(bad)
            is_harmless = path.name == "segment.json" and bad is not None and _same_json(bad, good)
            if not is_harmless:
                with pytest.raises(DamagedSegmentError):
                    open_segment(folder)
            path.write_bytes(good)
    assert open_segment(folder).rows == 300


def _same_json(bad, good):
    """White space between values carries nothing."""
    try:
        return json.loads(bad) == json.loads(good)
    except ValueError:
        return False


def test_an_unchecked_segment_still_has_its_lengths_checked(tmp_path):
    folder = built(tmp_path / "s", IndexKind.FLAT)
    path = folder / "codes.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedSegmentError, match=r"codes\.bin"):
        open_segment(folder, is_checked=False)


def test_a_folder_that_is_not_there_is_damaged(tmp_path):
    with pytest.raises(DamagedSegmentError, match=r"segment\.json"):
        open_segment(tmp_path / "nothing")


def test_what_a_killed_build_left_is_replaced(tmp_path):
    (tmp_path / "s.tmp").mkdir()
    (tmp_path / "s.tmp" / "codes.bin").write_bytes(b"half")
    (tmp_path / "s").mkdir()
    folder = built(tmp_path / "s", IndexKind.FLAT)
    assert not (tmp_path / "s.tmp").exists()
    assert open_segment(folder).rows == 300


_BUILD = """
import sys
import numpy as np
from pathlib import Path
from services.retrieval.vectors import BuildSpec, IndexKind, build
rows = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
spec = BuildSpec(IndexKind.HNSW, 64, build_effort=400)
build(rows, spec, Path(sys.argv[1]), lambda share: print(share, flush=True))
"""


def test_a_build_that_is_killed_leaves_no_segment(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline(), "under way"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not (tmp_path / "s").exists()
    built(tmp_path / "s", IndexKind.FLAT)
    assert open_segment(tmp_path / "s").rows == len(VECTORS)
