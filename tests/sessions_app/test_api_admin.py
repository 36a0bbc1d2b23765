"""The page of an API: what is said of a listen path as it is typed, and "try it" through the gateway's own check."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from organisations_app.models import StaffConfinement
from policies_app import catalogue
from policies_app.models import Api
from sessions_app.edge import trial
from sessions_app.keys import create_key
from sessions_app.models import Key, KeyAccess
from tests.factories import AcmeFactory, GlobexFactory
from tests.sessions_app.edge.upstream import Upstream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

APIS = "/admin/policies_app/api/"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


def api(name: str, path: str, organisation: str = "acme", **fields: Any) -> Api:
    made = Api(id=name, organisation_id=organisation, name=name.title(), listen_path=path, **fields)
    catalogue.save_api(made)
    return made


@pytest.fixture
def orders(upstream: Upstream) -> Api:
    AcmeFactory.create()
    return api("orders", "/orders/", target_url=upstream.url)


@pytest.fixture
def token(orders: Api) -> str:
    key = Key(organisation_id="acme", alias="Shop", quota_max=2, quota_renewal_rate=60)
    return create_key(key, access=[KeyAccess(api=orders)])


def says(client: Client, path: str, own: str = "") -> str:
    response = client.get(f"{APIS}listen-path/", {"path": path, "api": own})
    assert response.status_code == 200
    return response.content.decode()


def tried(client: Client, **values: str) -> str:
    response = client.post(f"{APIS}orders/try/", {"method": "GET", "rest": "echo", **values})
    assert response.status_code == 200 and "no-store" in response["Cache-Control"]
    return response.content.decode()


# --- listen paths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/bills/", "Free."),
        ("bills", "begins and ends with /"),
        ("/admin/x/", "is reserved for the gateway itself"),
        ("/orders/", "Another API listens there already."),
        ("/orders/archive/", "Requests below it do not reach"),
    ],
)
def test_a_path_is_judged_as_it_is_typed(admin_client: Client, orders: Api, path: str, words: str) -> None:
    assert words in says(admin_client, path)


def test_only_the_nearest_api_above_a_path_loses_requests(admin_client: Client, orders: Api) -> None:
    api("shop", "/shop/"), api("eu", "/shop/eu/")
    shown = says(admin_client, "/shop/eu/berlin/")
    assert "/shop/eu/" in shown and "(/shop/)" not in shown


def test_an_apis_own_path_is_free_for_itself(admin_client: Client, orders: Api) -> None:
    assert "Free." in says(admin_client, "/orders/", "orders")


def test_apis_below_a_path_keep_their_requests(admin_client: Client, orders: Api) -> None:
    api("archive", "/shop/archive/"), api("old", "/shop/old/")
    shown = says(admin_client, "/shop/")
    assert "Archive" in shown and "Old" in shown and "keep their requests" in shown


def test_apis_of_others_are_not_named_to_confined_staff(client: Client, orders: Api) -> None:
    GlobexFactory.create()
    api("hidden", "/shop/", "globex")
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename="view_api"))
    StaffConfinement.objects.create(user=staff).organisations.add(AcmeFactory.create())
    client.force_login(staff)
    assert "Hidden" not in says(client, "/shop/") and "Another API listens there already." in says(client, "/shop/")
    assert "Hidden" not in says(client, "/shop/new/")
    assert "Orders" in says(client, "/orders/")


# --- try it -----------------------------------------------------------------------------------------------------------


def test_a_request_goes_through_the_gateway_and_is_counted(admin_client: Client, orders: Api, token: str) -> None:
    shown = tried(admin_client, key=token, rest="echo?limit=1", method="POST", body="hello")
    assert "200" in shown and "X-Ratelimit-Remaining" in shown
    assert "/echo?limit=1" in shown and "hello" in shown
    assert token not in shown
    assert "200" in tried(admin_client, key=token)
    denied = tried(admin_client, key=token)
    assert "429" in denied and "quota_exceeded" in denied and "Retry-After" in denied


@pytest.mark.parametrize(("key", "code"), [("", "missing_key"), ("nobodys-key", "unknown_key")])
def test_a_request_without_a_known_key_shows_the_refusal(
    admin_client: Client, orders: Api, key: str, code: str
) -> None:
    assert code in tried(admin_client, key=key)


def test_the_header_that_the_api_names_carries_the_key(admin_client: Client, orders: Api, token: str) -> None:
    orders.auth_header_name = "X-Shop-Key"
    catalogue.save_api(orders)
    shown = tried(admin_client, key=token, rest="echo")
    assert "200" in shown and token not in shown


def test_an_api_without_upstream_is_judged(admin_client: Client, orders: Api, token: str) -> None:
    orders.target_url = ""
    catalogue.save_api(orders)
    assert "A Django view of this project serves this API" in tried(admin_client, key=token)


def test_a_dead_upstream_is_shown_as_callers_see_it(admin_client: Client, orders: Api, token: str) -> None:
    orders.target_url = "http://127.0.0.1:1"
    catalogue.save_api(orders)
    assert "upstream_unreachable" in tried(admin_client, key=token)


def test_an_upstream_that_does_not_end_is_given_up(
    admin_client: Client, orders: Api, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "LONGEST_SECONDS", 0.2)
    assert "No answer within" in tried(admin_client, key=token, rest="hang")


def test_a_path_that_no_address_has_is_refused(admin_client: Client, orders: Api) -> None:
    assert "signs that no address has" in tried(admin_client, rest="a\x07b")


def test_the_key_is_in_no_log(admin_client: Client, orders: Api, token: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        tried(admin_client, key=token)
        tried(admin_client, key="another-raw-key")
    assert token not in caplog.text and "another-raw-key" not in caplog.text


def test_readers_do_not_send_requests(client: Client, orders: Api) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename="view_api"))
    client.force_login(staff)
    assert "Try it" not in client.get(f"{APIS}orders/change/").content.decode()
    assert client.post(f"{APIS}orders/try/", {"method": "GET"}).status_code == 403
