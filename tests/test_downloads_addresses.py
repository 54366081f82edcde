"""No request leaves for an address that is not public, in whatever spelling or by whatever detour."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from downloads_fixtures import AGENT, JPEG, fetched
from hypothesis import given
from hypothesis import strategies as st
from webserver import answer, redirect, serving

from transforms.downloads import Network, resolve
from transforms.downloads.resolve import ForbiddenAddressError, VettedResolver, is_public

INWARD = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:10.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1%25eth0]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://localhost/",
    "http://8.8.8.8:22/",
]


@pytest.mark.parametrize("url", INWARD)
def test_asked_for_and_redirected_to(url: str) -> None:
    with serving({"/away": redirect(url)}) as server:
        direct, detour = fetched([url, "http://a.test/away"], server)
    assert direct["status"] == "forbidden_address", direct["error"]
    assert detour["status"] == "forbidden_address", detour["error"]


def test_public_address_in_an_odd_spelling() -> None:
    with serving({}) as server:
        [row] = fetched(["http://0x08080808/"], server)
    assert (row["status"], row["error"]) == ("bad_url", "address is not in dotted decimal form")


def test_loopback_where_the_network_allows_it() -> None:
    with serving({"/a": answer(JPEG)}) as server:
        url = f"http://127.0.0.1:{server.port}/a"
        refused, inner = fetched([url, "http://10.0.0.1/a"], server)
        allowed, still = fetched([url, "http://10.0.0.1/a"], server, allow_loopback=True)
    assert refused["status"] == inner["status"] == still["status"] == "forbidden_address"
    assert allowed["status"] == "success"


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """DNS under the test's control: one list of addresses per question."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        found = left.pop(0)
        return [
            (family[ipaddress.ip_address(a).version], socket.SOCK_STREAM, 6, "", (a, port)) for a in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(resolve, "DNS_SECONDS", 0.0)  # as if what is kept had grown old
    VettedResolver._kept.clear()


def test_each_answer_of_dns_is_vetted(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"], ["10.0.0.1", "93.184.216.34", "::1"])

    async def ask() -> list[str]:
        resolver = VettedResolver(Network(user_agent=AGENT))
        return [each["host"] for each in await resolver.resolve("rebinding.example", 80)]

    assert asyncio.run(ask()) == ["93.184.216.34"]
    with pytest.raises(ForbiddenAddressError):  # the name is the same, and so is the port
        asyncio.run(ask())
    assert asyncio.run(ask()) == ["93.184.216.34"]


def test_name_that_leads_inward(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"/": answer(JPEG)}) as server:
        resolving(monkeypatch, *[["127.0.0.1"]] * 4)
        [row] = fetched(["http://inward.example/"], server)
    assert (row["status"], row["error"]) == ("forbidden_address", "robots.txt: address is not public")
    assert not server.seen


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_mapped_ipv6_is_as_public_as_what_it_carries(ip: ipaddress.IPv4Address) -> None:
    assert is_public(f"::ffff:{ip}") == is_public(str(ip)) == is_public(f"64:ff9b::{ip}")


SPECIAL = [
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "100.64.0.0/10"),
    *("224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15"),
    *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2002::/16", "::/8"),
]


@given(st.sampled_from(SPECIAL).flatmap(lambda net: st.ip_addresses(network=net)))
def test_special_ranges_are_not_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert not is_public(str(ip))
