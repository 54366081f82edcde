"""Where a URL may lead: only to public addresses, checked on the very addresses that are connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import ClassVar

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from transforms.downloads.rules import DNS_FAILED_SECONDS, DNS_NAMES, DNS_SECONDS, DNS_THREADS, Network
from transforms.downloads.status import DownloadError, DownloadStatus

PORTS = frozenset({80, 443})
"""Ports that a URL may name."""

_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            # IANA's IPv4 special-purpose address registry, multicast and reserved space. Written out because
            # `ipaddress` follows the registry differently from one Python to the next.
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared, behind carriers' NAT; some clouds' metadata
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local; most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
            "168.63.129.16/32",  # Azure's metadata, on an address that is otherwise public
            # The same of IPv6, within the space of public addresses.
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4, which carries any IPv4 address
            "3fff::/20",
        ),
    )
)
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that IANA has given out for public use
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 as seen from networks without it
_PLAIN = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # nothing in it that would need quoting in a request
# What DNS and the web use in names, 253 characters at most (RFC 1035), or an IPv6 address.
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?")


class ForbiddenAddressError(OSError):
    """A name resolves to no public address."""


def target(url: str, network: Network) -> URL:
    """`url` as it may be requested: http or https, allowed port, a host that is no forbidden address.

    Credentials and the fragment are left out. Raises DownloadError: bad_url or forbidden_address.
    """
    try:
        clean = parsed(url).with_user(None).with_fragment(None)
        host, port = (clean.host or "").lower(), clean.port
    except ValueError as error:  # UnicodeError too, from host names that IDNA refuses
        raise DownloadError(DownloadStatus.BAD_URL, "not a valid URL") from error
    if clean.scheme not in ("http", "https"):
        raise DownloadError(DownloadStatus.BAD_URL, "scheme is neither http nor https")
    raw = clean.raw_host or ""
    if not _HOST.fullmatch(raw):
        raise DownloadError(DownloadStatus.BAD_URL, "no host, or none that could be a name")
    if raw != raw.lower():
        clean = clean.with_host(host)
    mapped = mapping(host, network.resolve)
    if mapped is not None:
        if port not in PORTS and port != mapped[1]:
            raise DownloadError(DownloadStatus.FORBIDDEN_ADDRESS, "port is not allowed")
        return clean
    _vet_literal(host, port, network)
    return clean


def parsed(url: str) -> URL:
    """`url` parsed. One of plain characters keeps its exact spelling, as signatures in it would break; others
    are quoted. Raises ValueError."""
    return URL(url, encoded=_PLAIN.fullmatch(url) is not None)


def mapping(host: str, resolve: Mapping[str, tuple[str, int]]) -> tuple[str, int] | None:
    """The address and port that `resolve` has for `host`: by its exact name, else by the first pattern."""
    name = host.lower().rstrip(".")
    return resolve.get(name) or next((to for glob, to in resolve.items() if fnmatchcase(name, glob)), None)


def is_public(address: str) -> bool:
    """Whether `address` is one that anybody on the internet could mean.

    Not: private, loopback, link-local, shared (CGNAT), multicast, reserved, documentation and metadata
    addresses, nor an IPv6 form that carries one of them, nor what is no address.
    """
    try:
        ip = _carried(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip not in _GLOBAL_IPV6:
        return False
    return not any(ip in network for network in _SPECIAL)


def _carried(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address, or the IPv4 address that an IPv6 address stands for. Raises ValueError."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip


def _is_loopback(address: str) -> bool:
    try:
        return _carried(address).is_loopback
    except ValueError:
        return False


def _vet_literal(host: str, port: int | None, network: Network) -> None:
    """Refuse a port, or a host that is an address in any spelling that the system would understand."""
    address = _literal(host)
    if network.allow_loopback and _is_loopback(address or ""):
        return
    if port not in PORTS:
        raise DownloadError(DownloadStatus.FORBIDDEN_ADDRESS, "port is not allowed")
    if address is None:
        return
    if not is_public(address):
        raise DownloadError(DownloadStatus.FORBIDDEN_ADDRESS, "address is not public")
    if ":" not in host and address != host:
        raise DownloadError(DownloadStatus.BAD_URL, "address is not in dotted decimal form")


def _literal(host: str) -> str | None:
    """The address that `host` spells, be it in octal, hex, as one number or with fewer dots; else None."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeEncodeError):
        return None


class VettedResolver(AbstractResolver):
    """Names to public addresses, for aiohttp's connector, which connects to what it is given here.

    So the address that is checked is the address that is connected to, whatever DNS answers next time.
    What DNS answered is kept for the process, as it was; what is allowed is checked at every use.
    """

    _kept: ClassVar[OrderedDict[str, tuple[float, tuple[str, ...]]]] = OrderedDict()
    _lock = threading.Lock()  # partitions may run in several threads of a process

    def __init__(self, network: Network) -> None:
        self._network = network
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")
        self._asked: dict[str, asyncio.Future[tuple[str, ...]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises ForbiddenAddressError if none is public, gaierror if it has none."""
        mapped = mapping(host, self._network.resolve)
        if mapped is not None:
            return [_result(host, *mapped)]
        addresses = await self._addresses(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "name has no address")
        allowed = [address for address in addresses if self._allowed(address)]
        if not allowed:
            raise ForbiddenAddressError("address is not public")
        return [_result(host, address, port) for address in allowed]

    async def close(self) -> None:
        """Let go of the threads; lookups that hang in the system end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str) -> tuple[str, ...]:
        """What DNS says, or said a while ago; empty where the name has no address."""
        name = host.lower()
        with self._lock:
            until, addresses = self._kept.get(name, (0.0, ()))
        if time.monotonic() < until:
            return addresses
        if name not in self._asked:
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._threads, _looked_up, name)
            asked.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may wait
            self._asked[name] = asked
        try:
            # Shielded: who gives up waiting must not take the answer from the others
            addresses = await asyncio.shield(self._asked[name])
        finally:
            if name in self._asked and self._asked[name].done():
                del self._asked[name]
        with self._lock:
            seconds = DNS_SECONDS if addresses else DNS_FAILED_SECONDS
            self._kept[name] = (time.monotonic() + seconds, addresses)
            self._kept.move_to_end(name)
            while len(self._kept) > DNS_NAMES:
                self._kept.popitem(last=False)
        return addresses

    def _allowed(self, address: str) -> bool:
        return is_public(address) or (self._network.allow_loopback and _is_loopback(address))


def _looked_up(name: str) -> tuple[str, ...]:
    """All addresses of `name`. Raises gaierror where the name servers do not answer."""
    try:
        infos = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is empty or longer than 63 characters
        return ()
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise
        return ()
    return tuple(dict.fromkeys(str(info[4][0]) for info in infos))


def is_own(url: URL, network: Network) -> bool:
    """Whether `url` leads to a server that the settings say is our own, by its name or on loopback."""
    host = (url.host or "").lower()
    if mapping(host, network.resolve) is not None:
        return True
    return network.allow_loopback and (host == "localhost" or _is_loopback(_literal(host) or ""))


def _result(name: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=name, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
