"""Which web addresses may be fetched: none that lead into the network the service runs in.

What is checked is the address that the connection is made to, not the name: `check_url` refuses
what is wrong by its looks, `Resolver.resolve` looks the name up once and refuses every address that
is not public, and the caller connects to what it returned.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
LookUp: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_MIN_OTHER_PORT = 1024
"""Below it only the two web ports: services that speak other protocols live there."""
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_MAX_HOST_CHARACTERS = 253
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")
_INTERNAL_SUFFIXES = (".localhost", ".local", ".internal", ".localdomain", ".home.arpa")
_ALSO_REFUSED = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's platform address: public by its number
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays
    ipaddress.ip_network("fec0::/10"),  # site-local: private before there was fc00::/7
    ipaddress.ip_network("100::/64"),  # discard
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class AddressRefusedError(Exception):
    """An address is malformed or leads where nothing may be fetched from."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address."""

    scheme: str
    host: str
    """In lower case and ASCII; without brackets."""
    port: int


def check_url(url: str) -> Target:
    """Returns where an address leads, judged by its looks alone.

    Raises:
        AddressRefusedError: it is malformed or cannot be public.
    """
    if any(character <= " " or character == "\x7f" for character in url) or "\\" in url:
        raise AddressRefusedError("must not hold white space, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefusedError("is not an address") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise AddressRefusedError("must begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise AddressRefusedError("must not hold a user name or password")
    if not parts.hostname:
        raise AddressRefusedError("names no host")
    default = _DEFAULT_PORTS[parts.scheme]
    port = default if port is None else port
    if port not in _DEFAULT_PORTS.values() and port < _MIN_OTHER_PORT:
        raise AddressRefusedError(
            f"port {port} is not one of the web: 80, 443 or one from {_MIN_OTHER_PORT}"
        )
    return Target(parts.scheme, _host(parts.hostname), port)


def _host(host: str) -> str:
    """Returns a host's name in its one form, or an address as text."""
    if ":" in host:
        try:
            if "%" not in host:  # a zone names an interface of this machine
                return str(ipaddress.IPv6Address(host))
        except ValueError:
            pass
        raise AddressRefusedError("names no valid host")
    try:
        ascii_host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise AddressRefusedError("names no valid host") from None
    ascii_host = ascii_host.lower().rstrip(".")
    if not _is_name(ascii_host):
        raise AddressRefusedError("names no valid host")
    if _NUMBER.match(ascii_host.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(ascii_host))
        except ValueError:
            # 2130706433, 0x7f.1, 0177.0.0.1: other programs read these as addresses.
            raise AddressRefusedError(
                "writes an IP address in an unusual form; write it as 192.0.2.1"
            ) from None
    return ascii_host


def _is_name(host: str) -> bool:
    return len(host) <= _MAX_HOST_CHARACTERS and all(map(_LABEL.match, host.split(".")))


@dataclass(frozen=True, slots=True)
class InternalHosts:
    """What may be fetched although it is inside the network.

    Args:
        names: Hosts by name.
        networks: Addresses.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> InternalHosts:
        """Reads names, addresses and networks such as "10.1.0.0/16".

        Raises:
            ValueError: an entry is none of them.
        """
        names, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                name = entry.lower().rstrip(".")
                if not _is_name(name):
                    raise ValueError(
                        f"{entry!r} is neither a host, nor an address, nor a network"
                    ) from None
                names.add(name)
        return cls(frozenset(names), tuple(networks))

    def allow(self, host: str, address: Address) -> bool:
        """Returns whether the address may be connected to all the same."""
        return host in self.names or any(
            address in network for network in self.networks if network.version == address.version
        )


def is_public(address: Address) -> bool:
    """Returns whether an address is one that anybody on the Internet can reach."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return False
    if any(address in net for net in _ALSO_REFUSED if net.version == address.version):
        return False
    return address.is_global


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """Returns the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    low = int(address) & 0xFFFFFFFF
    is_compatible = int(address) >> 32 == 0 and low > 1
    if is_compatible or any(address in net for net in _NAT64):
        return ipaddress.IPv4Address(low)
    return None


class Resolver:
    """Looks hosts up and refuses those that are not public.

    Args:
        internal: Exceptions.
        look_up: How names are looked up.
    """

    def __init__(self, internal: InternalHosts, look_up: LookUp | None = None) -> None:
        self._internal = internal
        self._look_up = look_up or _system_look_up

    async def resolve(self, host: str, port: int) -> list[str]:
        """Returns the addresses to connect to.

        Raises:
            AddressRefusedError: the host does not exist, or one of its addresses is not public.
        """
        try:
            found = [ipaddress.ip_address(host)]
        except ValueError:
            if host.endswith(_INTERNAL_SUFFIXES) and host not in self._internal.names:
                raise _refused(host) from None
            found = [
                ipaddress.ip_address(each.partition("%")[0])
                for each in await self._look_up(host, port)
            ]
        if not found:
            raise AddressRefusedError(f"host {host!r} has no address")
        for address in found:
            if not is_public(address) and not self._internal.allow(host, address):
                raise _refused(host)
        return list(dict.fromkeys(map(str, found)))


def _refused(host: str) -> AddressRefusedError:
    return AddressRefusedError(
        f"host {host!r} is inside the network and is not fetched from; an operator lists "
        "exceptions in CAIRN_INGESTION_URL_INTERNAL_HOSTS"
    )


async def _system_look_up(host: str, port: int) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except OSError:
        raise AddressRefusedError(f"host {host!r} cannot be looked up") from None
    return [str(entry[4][0]) for entry in found]
