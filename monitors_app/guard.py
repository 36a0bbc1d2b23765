"""Which addresses a webhook may connect to (rule 7.11): decided on the very address that is connected to.

Deciding on a name, or before the connection, could be fooled by a second DNS answer. The lists are explicit:
`is_global` of the standard library changes between Python versions and knows neither NAT64 nor mapped addresses.
"""

import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SocketFactory = Callable[[tuple[Any, ...]], socket.socket]

REFUSED_IPV4 = tuple(
    (ipaddress.IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "a “this network”"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier-grade NAT"),
        ("127.0.0.0/8", "a loopback"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a protocol"),
        ("192.0.2.0/24", "a documentation"),
        ("192.31.196.0/24", "a reserved"),
        ("192.52.193.0/24", "a reserved"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "a private"),
        ("192.175.48.0/24", "a reserved"),
        ("198.18.0.0/15", "a benchmarking"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
    )
)
GLOBAL_UNICAST_IPV6 = ipaddress.IPv6Network("2000::/3")
REFUSED_IPV6 = tuple(
    (ipaddress.IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", "a loopback"),
        ("::/128", "an unspecified"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a private"),
        ("ff00::/8", "a multicast"),
        ("2001::/23", "a protocol or tunnel"),
        ("2001:db8::/32", "a documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("2620:4f:8000::/48", "a reserved"),
        ("3fff::/20", "a documentation"),
    )
)
# Where other protocols than HTTP listen, or stores and daemons that obey whoever reaches them. Lists of browsers
# (fetch.spec.whatwg.org, "bad port") and what they leave out.
REFUSED_PORTS = frozenset((
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 445, 465, 512, 513, 514, 515, 526,
    530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1433, 1521, 1719, 1720, 1723, 2049,
    2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5672, 6000, 6379, 6566, 6665, 6666,
    6667, 6668, 6669, 6679, 6697, 9042, 9092, 9200, 9300, 10080, 10250, 11211, 26379, 27017,
))  # fmt: skip
# Addresses that are another way to write an IPv4 address: that one is judged.
MAPPED_IPV4 = ipaddress.IPv6Network("::ffff:0:0/96")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """The address is not one that webhooks may go to."""


def refusal(address: str, allowed: Sequence[Network]) -> str:
    """Why this address (text, an IPv6 zone is ignored) is refused; empty if it is not.

    `allowed` networks always pass.
    """
    written = ipaddress.ip_address(address.partition("%")[0])
    meant = _unwrapped(written)
    if any(candidate in network for network in allowed for candidate in (written, meant)):
        return ""
    kind = _refused_kind(meant)
    return (
        f"{address} is {kind} address; the operator can allow its network in GATEWAY_WEBHOOK_ALLOWED_NETS"
        if kind
        else ""
    )


def guarded_sockets(allowed: Sequence[Network]) -> SocketFactory:
    """A factory of sockets for one connection attempt each (`getaddrinfo` tuples). It raises AddressRefused."""

    def new_socket(address_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise AddressRefused("only IPv4 and IPv6 addresses are connected to")
        if address[1] in REFUSED_PORTS:
            raise AddressRefused(f"port {address[1]} is not one for webhooks")
        if reason := refusal(str(address[0]), allowed):
            raise AddressRefused(reason)
        return socket.socket(family, kind, protocol)

    return new_socket


def _unwrapped(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and (address in MAPPED_IPV4 or address in NAT64):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _refused_kind(address: Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return next((kind for network, kind in REFUSED_IPV4 if address in network), "")
    refused = next((kind for network, kind in REFUSED_IPV6 if address in network), "")
    return refused or ("" if address in GLOBAL_UNICAST_IPV6 else "a reserved")
