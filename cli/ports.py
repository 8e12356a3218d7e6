"""Free ports on this machine."""

from __future__ import annotations

import random
import socket
import sys
import weakref

# Below the range from which Linux takes the local ports of outgoing connections: a port chosen
# here is still free when a crashed service binds it again.
_FIRST_PORT = 20_000
_LAST_PORT = 32_000
_ATTEMPT_COUNT = 500


class PortUnavailableError(Exception):
    """A port that was asked for, or every port that was tried, is in use."""


class PortPicker:
    """Chooses ports and never gives one twice, nor one that another picker holds.

    A service binds its port seconds after it was chosen. For as long as the picker lives it claims
    its ports towards the pickers of other processes, so that suites can start side by side.
    """

    def __init__(self, host: str) -> None:
        """Chooses for sockets bound to `host`."""
        self._host = host
        self._given: dict[int, socket.socket | None] = {}
        self._release = weakref.finalize(self, _close_all, self._given)

    def close(self) -> None:
        """Gives up the claims; so does the end of the picker."""
        self._release()

    def exactly(self, port: int) -> int:
        """Returns `port`, or a free one for 0.

        Raises:
            PortUnavailableError: the port is in use.
        """
        if port == 0:
            return self.any()
        if not self._take(port):
            raise PortUnavailableError(f"port {port} on {self._host} is in use")
        return port

    def preferably(self, port: int) -> int:
        """Returns `port` when it is free, else another."""
        return port if self._take(port) else self.any()

    def any(self) -> int:
        """Returns a free port.

        Raises:
            PortUnavailableError: none of many tried ports is free.
        """
        for _ in range(_ATTEMPT_COUNT):
            port = random.randint(_FIRST_PORT, _LAST_PORT)  # noqa: S311 - no secret
            if self._take(port):
                return port
        raise PortUnavailableError(f"no free port found on {self._host}")

    def _take(self, port: int) -> bool:
        if port in self._given:
            return False
        try:
            claim = _claim(self._host, port)
        except OSError:
            return False
        if not is_port_free(self._host, port):
            if claim is not None:
                claim.close()
            return False
        self._given[port] = claim
        return True


def _close_all(given: dict[int, socket.socket | None]) -> None:
    for claim in given.values():
        if claim is not None:
            claim.close()


def _claim(host: str, port: int) -> socket.socket | None:
    """Claims a port among Cairn's processes; None where the system has no names for it.

    A name in Linux's abstract namespace leaves no file behind, ends with its process, and is as
    local to a network namespace as the port is.

    Raises:
        OSError: another process has claimed it.
    """
    if not sys.platform.startswith("linux"):
        return None
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0cairn/port/{host}/{port}")
    except OSError:
        claim.close()
        raise
    return claim


def is_port_free(host: str, port: int) -> bool:
    """Returns whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger in TIME_WAIT do not count as use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
