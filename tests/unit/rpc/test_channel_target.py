"""Targets of channels."""

from __future__ import annotations

import pytest

from services.rpc.channel import resolve_target


@pytest.mark.parametrize(
    ("target", "resolved"),
    [
        ("localhost:9101", "ipv4:127.0.0.1:9101"),
        ("127.0.0.1:9101", "ipv4:127.0.0.1:9101"),
        ("localhost:1, 10.0.0.2:2", "ipv4:127.0.0.1:1,10.0.0.2:2"),
        ("[::1]:9101", "ipv6:[::1]:9101"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("embedding:9101", "dns:///embedding:9101"),
        ("dns:///embedding:9101", "dns:///embedding:9101"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_targets(target: str, resolved: str) -> None:
    assert resolve_target(target) == resolved


@pytest.mark.parametrize(
    "target",
    ["", "embedding", "embedding:", "embedding:x", ":9101", "a:0", "a:65536", "a:1,,b:2",
     "127.0.0.1:1,[::1]:2", "no-such-host.invalid:1,127.0.0.1:2"],
)  # fmt: skip
def test_malformed_targets_are_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        resolve_target(target)
