"""Behind load balancers the caller is the rightmost address that is not one of ours; forged claims change nothing."""

from ipaddress import ip_network

import pytest

from sessions_app import strangers
from sessions_app.edge import callers, middleware, usage
from sessions_app.edge.callers import address_behind
from sessions_app.edge.data_plane import DataPlane
from sessions_app.edge.decide import decide
from sessions_app.edge.proxy import Proxy
from tests.sessions_app.edge.conftest import call

OURS = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))
FORGED = "6.6.6.6, 7.7.7.7"
CASES = {
    "nobody in between": ("203.0.113.9", "", "203.0.113.9"),
    "a stranger's claims": ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
    "a stranger claims to be ours": ("203.0.113.9", "10.0.0.7", "203.0.113.9"),
    "one balancer": ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
    "one balancer, forged before": ("10.0.0.1", f"{FORGED}, 203.0.113.9", "203.0.113.9"),
    "forged to look like ours": ("10.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
    "two balancers": ("10.0.0.1", f"{FORGED},203.0.113.9,10.0.0.2", "203.0.113.9"),
    "IPv6": ("2001:db8:1::1", "2001:db8:2::9", "2001:db8:2::9"),
    "IPv4 in IPv6": ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
    "with ports": ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
    "IPv6 with a port": ("10.0.0.1", "[2001:db8:2::9]:4711", "2001:db8:2::9"),
    "no claims": ("10.0.0.1", "", "10.0.0.1"),
    "no address": ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
    "no address before ours": ("10.0.0.1", "203.0.113.9, <script>, 10.0.0.2", "10.0.0.2"),
    "all ours": ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "a Unix socket": ("", "203.0.113.9", ""),
}


@pytest.mark.parametrize(("peer", "claims", "caller"), CASES.values(), ids=CASES)
def test_the_caller_is_the_rightmost_address_that_is_not_ours(peer, claims, caller):
    assert address_behind(peer, claims, OURS) == caller


def test_lines_of_several_proxies_are_one_claim():
    headers = [(b"x-forwarded-for", b"6.6.6.6"), (b"host", b"x"), (b"x-forwarded-for", b"203.0.113.9")]
    assert callers.forwarded_for(headers) == "6.6.6.6,203.0.113.9"


def test_without_trusted_proxies_nobody_is_believed(settings):
    settings.GATEWAY_TRUSTED_PROXIES = ()
    scope = {"client": ("203.0.113.9", 1), "headers": [(b"x-forwarded-for", b"1.2.3.4")]}
    assert callers.caller_of(scope) == "203.0.113.9"
    assert callers.from_caller(scope) is scope


# --- the brake of rule 1.6 --------------------------------------------------------------------------------------------


@pytest.fixture
def braked_after_three(world, settings, monkeypatch):
    monkeypatch.setattr(strangers, "BURST", 3)
    monkeypatch.setattr(strangers, "LOOKUPS_PER_SECOND", 0)
    settings.GATEWAY_TRUSTED_PROXIES = OURS
    settings.GATEWAY_DECIDE_NETS = OURS
    world.api("orders")


async def nobody(scope, receive, send):
    raise AssertionError("an unknown key gets through to no view")


def plane(key: str, claims: str) -> int:
    application = DataPlane(nobody, Proxy(1, 1))
    return asked(application, "/orders/", key, claims)


def me(key: str, claims: str) -> int:
    return asked(usage.me, "/me/usage", key, claims)


def forward_auth(key: str, claims: str) -> int:
    return asked(decide, "/decide/forward-auth", key, claims, ("X-Forwarded-Uri", "/orders/"))


def asked(application, path: str, key: str, claims: str, *headers: tuple[str, str]) -> int:
    return call(application, path, ("X-Api-Key", key), ("X-Forwarded-For", claims), *headers, client="10.0.0.1").status


@pytest.mark.parametrize("face", [plane, me, forward_auth])
def test_the_brake_tells_callers_behind_one_balancer_apart(braked_after_three, face):
    guesses = [face(f"guess-{number}", f"198.51.100.{number}, 203.0.113.9") for number in range(5)]
    assert guesses == [401, 401, 401, 429, 429], "other forged addresses do not help"
    assert face("guess-other", "203.0.113.10") == 401


@pytest.mark.parametrize("claims", ["203.0.113.9", "6.6.6.6, 203.0.113.9"])
def test_the_middleware_sees_the_caller(settings, rf, claims):
    settings.GATEWAY_TRUSTED_PROXIES = OURS
    request = rf.get("/orders/", REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=claims)
    assert middleware._asked(request).address == "203.0.113.9"
