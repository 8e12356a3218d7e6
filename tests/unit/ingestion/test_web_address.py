"""No address that leads into the network is fetched, however it is written."""

from __future__ import annotations

import ipaddress

import pytest

from services.ingestion.sources.web_address import (
    AddressRefusedError,
    InternalHosts,
    Resolver,
    check_url,
    is_public,
)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http://",
        "http:///x",
        "http://user@example.org/",
        "http://user:password@example.org/",
        "http://example.org:22/",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://1.2.3.4.5/",
        "http://exa mple.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org/\nX: y",
        "http://[::1%25eth0]/",
        "http://[nonsense]/",
        "http://-a-.org/",
        "http://" + "a." * 200 + "org/",
    ],
)
def test_what_is_no_web_address_is_refused(url):
    with pytest.raises(AddressRefusedError):
        check_url(url)


def test_hosts_have_one_form():
    assert check_url("https://EXAMPLE.org./x").host == "example.org"
    assert check_url("https://bücher.example/").host == "xn--bcher-kva.example"
    assert check_url("http://[2001:DB8:0::1]:8080/").host == "2001:db8::1"
    assert check_url("http://example.org/").port == 80


PRIVATE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1",
    "192.168.1.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:7f00:1::", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
async def test_names_that_resolve_into_the_network_are_refused(address):
    assert not is_public(ipaddress.ip_address(address))

    async def look_up(host, port):
        return ["93.184.215.14", address]

    with pytest.raises(AddressRefusedError, match="inside the network"):
        await Resolver(InternalHosts(), look_up).resolve("rebinding.example.org", 80)


async def test_public_addresses_pass_and_are_looked_up_once():
    calls = []

    async def look_up(host, port):
        calls.append(host)
        return ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]

    found = await Resolver(InternalHosts(), look_up).resolve("example.org", 443)
    assert found == ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    assert calls == ["example.org"]


@pytest.mark.parametrize("host", ["metadata.google.internal", "printer.local", "a.localhost"])
async def test_internal_names_are_not_even_looked_up(host):
    async def look_up(host, port):
        raise AssertionError(host)

    with pytest.raises(AddressRefusedError):
        await Resolver(InternalHosts(), look_up).resolve(host, 80)


async def test_listed_exceptions_pass_and_nothing_else():
    async def look_up(host, port):
        return ["10.1.2.3"]

    by_name = Resolver(InternalHosts.parse(["Wiki.Example.org"]), look_up)
    assert await by_name.resolve("wiki.example.org", 80) == ["10.1.2.3"]
    with pytest.raises(AddressRefusedError):
        await by_name.resolve("other.example.org", 80)
    by_network = Resolver(InternalHosts.parse(["10.1.0.0/16", "::1"]), look_up)
    assert await by_network.resolve("any.example.org", 80) == ["10.1.2.3"]
    assert await by_network.resolve("::1", 80) == ["::1"]
    with pytest.raises(AddressRefusedError):
        await by_network.resolve("127.0.0.1", 80)
    with pytest.raises(ValueError, match="neither"):
        InternalHosts.parse(["not a host"])
