"""What callers may ask about their own limits; asking costs nothing."""

import time

import pytest

from policies_app import catalogue
from policies_app.models import Policy, PolicyAccess
from sessions_app import keys, strangers
from sessions_app.edge import judging, usage
from sessions_app.edge.data_plane import DataPlane
from sessions_app.edge.loading import Request
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key, KeyAccess, OrgSession
from tests.sessions_app.edge.conftest import call

pytestmark = pytest.mark.services


async def no_views(scope, receive, send):
    raise AssertionError("nothing here is for Django")


data_plane = DataPlane(no_views, proxy=None)  # type: ignore[arg-type]


def request(path: str, token: str) -> None:
    assert judging.judge(Request(path, {b"x-api-key": token.encode()})).passes


@pytest.fixture
def apis(world):
    return [world.api("a"), world.api("b")]


def test_me_usage_lists_every_limit_once_and_per_api_ones_with_their_api(world, apis):
    keys.save_org_session(OrgSession(organisation=world.organisation, quota_max=100, quota_renewal_rate=3600))
    key = Key(organisation=world.organisation, quota_max=10, quota_renewal_rate=60, rate=5, per=3600)
    on_b = KeyAccess(api_id="b", has_limit=True, quota_max=3)
    token = keys.create_key(key, access=[KeyAccess(api_id="a"), on_b])
    for path in ("/a/", "/a/", "/b/"):
        request(path, token)
    answer = call(usage.me, "/me/usage", ("Authorization", token))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    rows = [
        [row[name] for name in ("name", "api", "max", "used", "remaining", "period_seconds")]
        for row in answer.json["limits"]
    ]
    assert rows == [
        ["key-quota", None, 10, 2, 8, 60],
        ["key-rate", None, 5, 2, 3, 3600],
        ["org-quota", None, 100, 3, 97, 3600],
        ["key-quota", "b", 3, 1, 2, None],
    ]
    renewals = [row["renews_at"] for row in answer.json["limits"]]
    assert 0 < renewals[0] - time.time() <= 61
    assert renewals[3] is None


def test_me_usage_lists_a_counter_once_for_each_policy_that_judges_it(world, apis):
    for name, maximum in (("a", 3), ("b", 8)):
        meta_data = {"rate_limit_pattern": "$tyk_meta.team"}
        policy = Policy(id=name, organisation=world.organisation, name=name, quota_max=maximum, meta_data=meta_data)
        catalogue.save_policy(policy, [PolicyAccess(api_id=name)])
    token = keys.create_key(Key(organisation=world.organisation, meta_data={"team": "red"}), policies=["a", "b"])
    request("/a/", token)
    rows = call(usage.me, "/me/usage", ("Authorization", token)).json["limits"]
    assert [(row["max"], row["used"], row["remaining"]) for row in rows] == [(3, 1, 2), (8, 1, 7)]


def test_me_usage_costs_nothing(world, apis):
    token = world.key(quota_max=2, rate=2, per=3600)
    for _ in range(5):
        limits = call(usage.me, "/me/usage", ("X-Api-Key", token)).json["limits"]
        assert [row["used"] for row in limits] == [0, 0]
    request("/a/", token)


def test_me_usage_of_an_unlimited_key_is_empty(world, apis):
    assert call(usage.me, "/me/usage", ("X-Api-Key", world.key())).json == {"limits": []}


REFUSED = {
    "no key": (None, 401, "missing_key"),
    "unknown": ("nobody", 401, "unknown_key"),
    "expired": ({"expires_at": "2020-01-01T00:00:00+00:00"}, 401, "expired_key"),
    "inactive": ({"is_inactive": True}, 403, "inactive_key"),
}


@pytest.mark.parametrize(("fields", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_me_usage_is_for_living_keys(world, apis, fields, status, code):
    token = world.key(**fields) if isinstance(fields, dict) else fields
    answer = call(usage.me, "/me/usage", *([("X-Api-Key", token)] if token else []))
    assert (answer.status, answer.code) == (status, code)


def test_me_usage_answers_get_only_and_nothing_else_is_there():
    assert call(usage.me, "/me/usage", method="POST").headers["allow"] == "GET, HEAD"
    assert call(usage.me, "/me/else").status == 404


def test_me_usage_is_503_while_the_store_is_down(world, apis, monkeypatch):
    class Broken:
        def call_many(self, calls):
            raise StoreUnavailable("down")

    monkeypatch.setattr(usage, "sync_store", Broken)
    answer = call(usage.me, "/me/usage", ("X-Api-Key", world.key(quota_max=1)))
    assert (answer.status, answer.code) == (503, "store_unavailable")


@pytest.mark.parametrize("path", ["/a/tyk/rate-limits/", "/a/tyk/rate-limits"])
def test_rate_limits_in_tyks_shape_cost_nothing(world, apis, path):
    token = world.key(quota_max=5, quota_renewal_rate=60, rate=3, per=3600)
    request("/a/", token)
    answers = [call(data_plane, path, ("Authorization", token)) for _ in range(3)]
    for answer in answers:
        assert answer.status == 200
        assert answer.json["quota"] == {
            "quota_max": 5,
            "quota_remaining": 4,
            "quota_renews": pytest.approx(time.time() + 60, abs=3),
        }
        assert answer.json["rate_limit"] == {"requests": 3, "per_unit": 3600}


def test_rate_limits_of_an_unlimited_key(world, apis):
    answer = call(data_plane, "/a/tyk/rate-limits/", ("Authorization", world.key()))
    assert answer.json == {
        "quota": {"quota_max": -1, "quota_remaining": -1, "quota_renews": 0},
        "rate_limit": {"requests": 0, "per_unit": 0},
    }


def test_rate_limits_need_a_key_with_access(world, apis):
    token = world.key("b")
    assert call(data_plane, "/a/tyk/rate-limits/").code == "missing_key"
    assert call(data_plane, "/a/tyk/rate-limits/", ("X-Api-Key", "nobody")).code == "unknown_key"
    assert call(data_plane, "/a/tyk/rate-limits/", ("X-Api-Key", token)).code == "api_forbidden"
    assert call(data_plane, "/nowhere/tyk/rate-limits/", ("X-Api-Key", token)).code == "unknown_api"


@pytest.mark.parametrize(("face", "path"), [(usage.me, "/me/usage"), (data_plane, "/a/tyk/rate-limits/")])
def test_an_address_that_guesses_is_braked_here_too(world, apis, monkeypatch, face, path):
    monkeypatch.setattr(strangers, "BURST", 3)
    monkeypatch.setattr(strangers, "LOOKUPS_PER_SECOND", 0)
    statuses = [call(face, path, ("Authorization", f"guess-{number}")).status for number in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
