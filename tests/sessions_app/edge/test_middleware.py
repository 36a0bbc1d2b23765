"""APIs that Django views serve, through Django's own handlers: sync and async."""

import asyncio

import pytest
from django.test import AsyncClient, Client

from policies_app import catalogue
from sessions_app.edge import judging, loading
from sessions_app.edge.data_plane import DataPlane
from sessions_app.store import async_store, sync_store
from tests.sessions_app.edge.conftest import call
from tests.sessions_app.edge.test_judging import CountingStore

pytestmark = pytest.mark.services

ENFORCEMENT = "sessions_app.edge.middleware.enforcement"


@pytest.fixture(autouse=True)
def _project(settings):
    settings.ROOT_URLCONF = "tests.sessions_app.edge.views"


@pytest.fixture
def token(world):
    world.api("sync"), world.api("async")
    return world.key(quota_max=2, quota_renewal_rate=60)


def get_sync(path, **headers):
    return Client().get(path, headers=headers)


def get_async(path, **headers):
    return asyncio.run(AsyncClient().get(path, headers=headers))


BOTH = pytest.mark.parametrize(
    ("get", "path"), [(get_sync, "/sync/x"), (get_async, "/async/x"), (get_async, "/sync/x")]
)


@BOTH
def test_a_view_is_served_with_the_callers_limits_in_place_of_its_own(token, get, path):
    response = get(path, authorization=f"Bearer {token}")
    assert (response.status_code, response.json()) == (200, {"outcome": "passed"})
    assert (response["X-RateLimit-Limit"], response["X-RateLimit-Remaining"]) == ("2", "1")
    assert response["RateLimit-Policy"] == '"key-quota";q=2;w=60'
    assert response["X-Own"] == "1"


@BOTH
def test_denied_requests_reach_no_view(token, get, path):
    responses = [get(path, **{"x-api-key": token}) for _ in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert responses[2].json()["code"] == "quota_exceeded"
    assert responses[2]["Content-Type"] == "application/problem+json"
    assert int(responses[2]["Retry-After"]) >= 1


@BOTH
def test_requests_without_a_key_are_refused(token, get, path):
    response = get(path)
    assert (response.status_code, response.json()["code"]) == (401, "missing_key")
    assert response["WWW-Authenticate"].startswith("Bearer")


@BOTH
def test_tyks_words_come_here_too(token, settings, get, path):
    settings.GATEWAY_RESPONSES = "tyk"
    response = get(path)
    assert (response.status_code, response.json()) == (401, {"error": "Authorization field missing"})


def test_a_warm_request_is_one_store_call_and_no_sql(token, settings, monkeypatch, django_assert_num_queries):
    settings.MIDDLEWARE = [ENFORCEMENT]
    client = Client(headers={"x-api-key": token})
    client.get("/sync/x")
    store = CountingStore(sync_store())
    monkeypatch.setattr(judging, "sync_store", lambda: store)
    with django_assert_num_queries(0):
        assert client.get("/sync/x").status_code == 200
    assert store.calls == 1


def test_a_warm_async_request_is_one_store_call_and_leaves_no_loop(token, settings, monkeypatch):
    settings.MIDDLEWARE = [ENFORCEMENT]

    async def two_requests():
        client, headers = AsyncClient(), {"x-api-key": token}
        await client.get("/async/x", headers=headers)
        store = CountingStore(async_store())
        monkeypatch.setattr(judging, "async_store", lambda: store)
        for module in (judging, loading):
            monkeypatch.setattr(module, "in_thread", None)
        return await client.get("/async/x", headers=headers), store.calls

    response, calls = asyncio.run(two_requests())
    assert response["X-RateLimit-Remaining"] == "0"
    assert calls == 1


def test_reserved_paths_cost_nothing(monkeypatch, db, django_assert_num_queries):
    monkeypatch.setattr(judging, "sync_store", None)
    with django_assert_num_queries(0):
        assert get_sync("/healthz").json() == {"judged": False}


def test_pages_that_are_no_api_are_left_alone(token):
    assert get_sync("/shop/").status_code == 200
    assert get_sync("/nowhere/").status_code == 404


def test_a_page_becomes_an_api_with_the_next_request(token, world):
    assert get_sync("/shop/").status_code == 200
    shop = world.api("shop", listen_path="/shop/")
    assert get_sync("/shop/").status_code == 401
    catalogue.delete_api(shop)
    assert get_sync("/shop/").status_code == 200


def test_what_the_data_plane_judged_is_not_judged_again(token):
    """The composed application: one unit, though both the data plane and the middleware see the request."""
    from django.core.handlers.asgi import ASGIHandler

    data_plane = DataPlane(ASGIHandler(), proxy=None)  # type: ignore[arg-type]
    answers = [call(data_plane, "/async/x", ("X-Api-Key", token)) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[0].json == {"outcome": "passed"}
