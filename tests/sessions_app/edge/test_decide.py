"""Decisions for other proxies: who may ask, what they ask, what they are told."""

import ipaddress

import pytest

from sessions_app.edge.decide import decide
from tests.sessions_app.edge.conftest import call

pytestmark = pytest.mark.services

TRUSTED = ("X-Decide-Token", "secret-of-the-proxies")


@pytest.fixture(autouse=True)
def _trust(settings):
    settings.GATEWAY_DECIDE_TOKEN = TRUSTED[1]
    settings.GATEWAY_DECIDE_NETS = ()


@pytest.fixture
def token(world):
    world.api("a")
    return world.key(quota_max=2, quota_renewal_rate=60)


def ask(face: str, target: str, token: str | None, *headers: tuple[str, str]):
    key = [("Authorization", f"Bearer {token}")] if token else []
    name = {"forward-auth": "X-Forwarded-Uri", "nginx": "X-Original-URI"}.get(face)
    path = f"/decide/{face}" if name else f"/decide/{face}{target}"
    return call(decide, path, TRUSTED, *key, *([(name, target)] if name else []), *headers)


@pytest.mark.parametrize("face", ["forward-auth", "nginx", "envoy"])
def test_allows_with_200_and_the_limits(token, face):
    answer = ask(face, "/a/x?y=1", token)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-ratelimit-remaining"] == "1"
    assert answer.headers["ratelimit-policy"] == '"key-quota";q=2;w=60'


def test_all_faces_share_one_counter(token):
    remaining = [
        ask(face, "/a/", token).headers["x-ratelimit-remaining"] for face in ("envoy", "nginx", "forward-auth")
    ]
    assert remaining == ["1", "0", "0"]


DENIED = {
    "forward-auth": (429, None),
    "envoy": (429, None),
    "nginx": (403, "429"),
}


@pytest.mark.parametrize(("face", "expected"), DENIED.items(), ids=DENIED)
def test_denies_as_its_proxy_understands(token, face, expected):
    answers = [ask(face, "/a/", token) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, expected[0]]
    assert answers[2].headers.get("x-quota-status") == expected[1]
    assert answers[2].code == "quota_exceeded"
    assert answers[2].headers["retry-after"]


REFUSED = {
    "no key": (None, "/a/", {"forward-auth": 401, "envoy": 401, "nginx": 401}),
    "unknown path": ("token", "/nowhere/", {"forward-auth": 404, "envoy": 404, "nginx": 403}),
}


@pytest.mark.parametrize("face", ["forward-auth", "nginx", "envoy"])
@pytest.mark.parametrize(("key", "target", "statuses"), REFUSED.values(), ids=REFUSED)
def test_refuses_never_with_200(token, face, key, target, statuses):
    assert ask(face, target, token if key else None).status == statuses[face]


def test_nginx_hears_beside_its_403_what_the_refusal_is(token, world):
    world.api("b")
    answer = ask("nginx", "/b/", token)
    assert (answer.status, answer.headers["x-quota-status"], answer.code) == (403, "403", "api_forbidden")
    assert "x-quota-status" not in ask("nginx", "/a/", None).headers


def test_nginx_can_tell_a_used_up_quota_from_a_refusal_in_tyks_dialect_too(token, world, settings):
    """Rule 8.4 makes both 403; the header says which it is."""
    settings.GATEWAY_RESPONSES = "tyk"
    world.api("b")
    answers = [ask("nginx", "/a/", token) for _ in range(3)]
    assert (answers[2].status, answers[2].headers["x-quota-status"]) == (403, "429")
    refused = ask("nginx", "/b/", token)
    assert (refused.status, refused.headers["x-quota-status"]) == (403, "403")


@pytest.mark.parametrize("target", ["/b/../a/x", "/%61/x", "/b/%2e%2e/a/x", "//a/x", "/a/./x"])
@pytest.mark.parametrize("face", ["forward-auth", "nginx"])
def test_judges_the_path_that_the_proxy_will_serve(token, face, target):
    assert ask(face, target, token).status == 200
    assert ask(face, "/a/../secret", token).status in (403, 404)


@pytest.mark.parametrize("face", ["forward-auth", "nginx"])
@pytest.mark.parametrize("target", ["", "http://elsewhere/a/"])
def test_says_which_header_is_missing(face, target):
    answer = ask(face, target, "k")
    assert answer.status == (400 if face == "forward-auth" else 403)
    assert answer.code == "missing_target"
    assert ("X-Forwarded-Uri" if face == "forward-auth" else "X-Original-Uri") in answer.json["detail"]


def test_an_unknown_face_is_404():
    answer = call(decide, "/decide/squid", TRUSTED)
    assert (answer.status, answer.code) == (404, "not_found")
    assert "/decide/forward-auth" in answer.json["detail"]


STRANGERS = {
    "no token": ((), "secret", ()),
    "wrong token": ((("X-Decide-Token", "wrong"),), "secret", ()),
    "empty token when none is set": ((("X-Decide-Token", ""),), "", ()),
    "outside of the networks": ((), "", ("10.1.0.0/16", "::1/128")),
}


@pytest.mark.parametrize(("headers", "secret", "networks"), STRANGERS.values(), ids=STRANGERS)
def test_strangers_are_refused_and_spend_nothing(settings, token, headers, secret, networks):
    settings.GATEWAY_DECIDE_TOKEN = secret
    settings.GATEWAY_DECIDE_NETS = tuple(map(ipaddress.ip_network, networks))
    answer = call(decide, "/decide/forward-auth", ("X-Forwarded-Uri", "/a/"), ("X-Api-Key", token), *headers)
    assert (answer.status, answer.code) == (403, "decide_forbidden")
    settings.GATEWAY_DECIDE_TOKEN = TRUSTED[1]
    assert ask("nginx", "/a/", token).headers["x-ratelimit-remaining"] == "1"


@pytest.mark.parametrize("client", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_an_allowed_network_needs_no_token(settings, token, client):
    settings.GATEWAY_DECIDE_NETS = (ipaddress.ip_network("10.1.0.0/16"),)
    headers = (("X-Forwarded-Uri", "/a/"), ("X-Api-Key", token))
    assert call(decide, "/decide/forward-auth", *headers, client=client).status == 200
