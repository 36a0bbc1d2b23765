"""From which address a request comes, also behind load balancers. Pure, but for the settings.

`X-Forwarded-For` is a claim: anybody may write anything into it. Only what a trusted proxy appended is known, and it
appends who spoke to it. So the caller is the rightmost address that is not one of ours.
"""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from django.conf import settings

from sessions_app.edge.answers import Header, Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def caller_of(scope: Scope) -> str:
    """The caller's address; empty if the server does not know who spoke to it, as on a Unix socket."""
    peer: str = (scope.get("client") or ("",))[0]
    trusted = tuple(settings.GATEWAY_TRUSTED_PROXIES)
    return address_behind(peer, forwarded_for(scope["headers"]), trusted) if trusted else peer


def from_caller(scope: Scope) -> Scope:
    """The scope as if the caller had come without proxies in between."""
    return {**scope, "client": (caller_of(scope), 0)} if settings.GATEWAY_TRUSTED_PROXIES else scope


def caller_behind_proxy(scope: Scope) -> str:
    """As caller_of, where every request comes through a proxy: empty unless that is a trusted one."""
    peer: str = (scope.get("client") or ("",))[0]
    return caller_of(scope) if is_within(peer, tuple(settings.GATEWAY_TRUSTED_PROXIES)) else ""


def forwarded_for(headers: Iterable[Header]) -> str:
    """All lines of the header as one: some proxies append a line of their own (RFC 9110 section 5.3)."""
    return ",".join(value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for")


def address_behind(peer: str, claims: str, trusted: tuple[Network, ...]) -> str:
    """The rightmost address of `claims` that is not trusted, if `peer` is; what is no address ends the search."""
    caller = peer
    for claim in reversed(claims.split(",")):
        if not is_within(caller, trusted) or (address := _address_in(claim)) is None:
            break
        caller = str(address)
    return caller


@lru_cache(maxsize=1000)
def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether the address lies in one of the networks. A Unix socket has none."""
    found = _address_in(address)
    return found is not None and any(found in network for network in networks)


def _address_in(text: str) -> Address | None:
    """Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
