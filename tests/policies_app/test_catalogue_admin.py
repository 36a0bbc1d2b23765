"""The admin of APIs and policies."""

from typing import Any

import pytest
from django.test import Client

from organisations_app.models import ConfigVersion, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from tests.admin_pages import errors_of, submit, submit_with_row
from tests.factories import AcmeFactory

pytestmark = pytest.mark.django_db

APIS = "/admin/policies_app/api/"
POLICIES = "/admin/policies_app/policy/"


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create()


@pytest.fixture
def api(acme: Organisation) -> Api:
    return Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")


def gateway_version() -> int:
    return sum(ConfigVersion.objects.filter(pk="gateway").values_list("number", flat=True))


def test_an_api_is_made_edited_and_deleted_with_the_gateways_version(admin_client: Client, acme: Organisation) -> None:
    submit(admin_client, f"{APIS}add/", name="Orders", id="orders", organisation="acme", listen_path="/orders/")
    assert (Api.objects.get().listen_path, gateway_version()) == ("/orders/", 1)
    submit(admin_client, f"{APIS}orders/change/", target_url="http://orders.example/v1", id="renamed")
    assert (Api.objects.get().pk, Api.objects.get().target_url) == ("orders", "http://orders.example/v1")
    assert gateway_version() == 2
    admin_client.post(f"{APIS}orders/delete/", {"post": "yes"})
    assert gateway_version() == 3 and not Api.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"listen_path": "/admin/"}, "listen_path", "reserved"),
        ({"listen_path": "orders"}, "listen_path", "begins and ends with /"),
        ({"listen_path": "/taken/"}, "listen_path", "already exists"),
        ({"target_url": "ftp://x"}, "target_url", "http://host"),
        ({"name": ""}, "name", "required"),
    ],
)
def test_a_wrong_api_is_refused_at_its_field(
    admin_client: Client, api: Api, changes: dict[str, str], field: str, words: str
) -> None:
    Api.objects.create(organisation=api.organisation, name="Taken", listen_path="/taken/")
    response = submit(admin_client, f"{APIS}orders/change/", **changes)
    assert words in errors_of(response)[field] and gateway_version() == 0


def test_a_policy_with_its_access_rights_is_one_form(admin_client: Client, api: Api) -> None:
    right = {"api": "orders", "has_limit": "on", "quota_max": "3"}
    fields = {"name": "Free", "id": "free", "organisation": "acme", "quota_max": "10"}
    response = submit_with_row(admin_client, f"{POLICIES}add/", "access", right, **fields)
    assert response.status_code == 302, errors_of(response)
    policy = Policy.objects.get()
    assert (policy.pk, policy.quota_max, policy.access.get().quota_max) == ("free", 10, 3)
    assert gateway_version() == 1
    submit(admin_client, f"{POLICIES}free/change/", **{"access-0-DELETE": "on"})
    assert not PolicyAccess.objects.exists() and gateway_version() == 2
    admin_client.post(POLICIES, {"action": "delete_selected", "_selected_action": "free", "post": "yes"})
    assert not Policy.objects.exists() and gateway_version() == 3


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"quota_max": "0"}, "quota_max", "-1 for unlimited"),
        ({"trigger_limits": "75, 75"}, "trigger_limits", "the 2nd, 75, repeats the 1st, 75"),
        ({"partition_per_api": "on", "partition_acl": "on"}, "partition_per_api", "cannot stand with"),
        ({"meta_data": '{"rate_limit_pattern": "$nope.X"}'}, "meta_data", "$tyk_meta.NAME"),
        (
            {"access-0-resets_every_0": "month", "access-0-resets_every_2": "0", "access-0-has_limit": "on"},
            "access-0-resets_every",
            "between 1 and 31",
        ),
    ],
)
def test_a_wrong_policy_is_refused_at_its_field(
    admin_client: Client, api: Api, changes: dict[str, str], field: str, words: str
) -> None:
    policy = Policy.objects.create(id="free", organisation=api.organisation, name="Free")
    PolicyAccess.objects.create(policy=policy, api=api)
    response = submit(admin_client, f"{POLICIES}free/change/", **changes)
    assert words in errors_of(response)[field] and gateway_version() == 0


def test_metadata_is_shown_one_member_a_line_and_comes_back_as_it_was(admin_client: Client, acme: Organisation) -> None:
    meta_data = {"PlanID": "größer", "limits": [1, 2]}
    Policy.objects.create(id="free", organisation=acme, name="Free", meta_data=meta_data, tags=["a", "b"])
    html = admin_client.get(f"{POLICIES}free/change/").content.decode()
    assert "{\n  &quot;PlanID&quot;: &quot;größer&quot;,\n" in html
    submit(admin_client, f"{POLICIES}free/change/", name="Renamed")
    policy = Policy.objects.get()
    assert (policy.meta_data, policy.tags, policy.name) == (meta_data, ["a", "b"], "Renamed")


@pytest.mark.parametrize("url", [APIS, POLICIES])
def test_lists_stay_below_12_queries(
    admin_client: Client, acme: Organisation, url: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(8):
        Api.objects.create(organisation=acme, name=f"API {number}", listen_path=f"/a{number}/")
        Policy.objects.create(organisation=acme, name=f"Policy {number}")
    with django_assert_max_num_queries(12):
        assert admin_client.get(url).status_code == 200
