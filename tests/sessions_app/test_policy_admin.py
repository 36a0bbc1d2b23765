"""The page of a policy: who uses it, what its pattern makes of a key, and what a change would have done."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from organisations_app.models import StaffConfinement
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.keys import create_key
from sessions_app.models import Key, UsageHour
from tests.admin_pages import form_values
from tests.administration import spend
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

PAGE = "/admin/policies_app/policy/free/"
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def policy() -> Policy:
    acme = AcmeFactory.create(timezone="UTC")
    api = Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")
    policy = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=100, quota_period="day")
    PolicyAccess.objects.create(policy=policy, api=api)
    return policy


def key(alias: str, organisation: str = "acme", **fields: Any) -> Any:
    key: Any = Key(organisation_id=organisation, alias=alias, **fields)
    key.token = create_key(key, policies=["free"])
    return key


def posted(client: Client, page: str, **changes: Any) -> str:
    """The panel `page` for the form with these changes."""
    values = form_values(client.get(f"{PAGE}change/")) | changes
    response = client.post(f"{PAGE}{page}/", {name: value for name, value in values.items() if value is not None})
    assert response.status_code == 200
    return response.content.decode()


def limited_staff(client: Client, *codenames: str) -> User:
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(staff)
    return staff


# --- who uses it ------------------------------------------------------------------------------------------------------


def test_the_newest_keys_are_named_and_all_are_a_click_away(admin_client: Client) -> None:
    assert "No key yet." in admin_client.get(f"{PAGE}change/").content.decode()
    for number in range(7):
        key(f"Shop {number}")
    page = admin_client.get(f"{PAGE}change/")
    assert [each.alias for each in page.context["users"]] == [f"Shop {number}" for number in (6, 5, 4, 3, 2)]
    assert str(page.context["user_count"]) == "7"
    listed = admin_client.get(page.context["user_list"]).content.decode()
    assert "Shop 0" in listed and "Shop 6" in listed


def test_the_list_counts_keys_with_one_query_for_the_page(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    [key(f"Shop {number}") for number in range(3)]
    Policy.objects.create(id="bare", organisation_id="acme", name="Bare")
    with django_assert_max_num_queries(10):
        page = admin_client.get("/admin/policies_app/policy/")
    assert [policy.key_count for policy in page.context["cl"].result_list] == [0, 3]


def test_the_list_counts_keys_up_to_a_bound(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sessions_app.admin.policies", "organisations_app.admin_lists"):
        monkeypatch.setattr(f"{module}.MOST_COUNTED", 2)
    [key(f"Shop {number}") for number in range(4)]
    page = admin_client.get("/admin/policies_app/policy/")
    assert [str(policy.key_count) for policy in page.context["cl"].result_list] == ["more than 2"]


# --- the pattern ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (
            {"rate_limit_pattern": "$tyk_meta.DeveloperID|$tyk_meta.PlanID", "PlanID": "pro"},
            ["dev-7|pro", "DeveloperID"],
        ),
        ({"rate_limit_pattern": "$tyk_meta.Missing"}, ["so Shop counts for itself", "empty"]),
        ({"rate_limit_pattern": "$tyk_meta."}, ["is no reference"]),
        ({}, ["No rate_limit_pattern: Shop counts for itself."]),
        ("not JSON", ["no JSON"]),
    ],
    ids=["computed", "empty values", "invalid reference", "no pattern", "no JSON"],
)
def test_the_pattern_is_computed_for_a_key_as_it_is_typed(
    admin_client: Client, metadata: Any, words: list[str]
) -> None:
    shop = key("Shop", meta_data={"DeveloperID": "dev-7", "PlanID": "its own"})
    typed = metadata if isinstance(metadata, str) else json.dumps(metadata)
    response = admin_client.post(f"{PAGE}subject/", {"key": shop.pk, "meta_data": typed})
    assert response.status_code == 200
    for word in words:
        assert word in response.content.decode()
    assert Policy.objects.get().meta_data == {}


def test_the_pattern_is_computed_of_keys_that_the_reader_may_see(client: Client) -> None:
    GlobexFactory.create()
    theirs = key("Theirs", "globex", meta_data={"DeveloperID": "secret"})
    staff = limited_staff(client, "view_policy", "view_key")
    StaffConfinement.objects.create(user=staff).organisations.add(AcmeFactory.create())
    pattern = json.dumps({"rate_limit_pattern": "$tyk_meta.DeveloperID"})
    assert client.post(f"{PAGE}subject/", {"key": theirs.pk, "meta_data": pattern}).status_code == 404
    assert "Theirs" not in client.get(f"{PAGE}change/").content.decode()


# --- what if ----------------------------------------------------------------------------------------------------------


def test_a_lower_quota_is_counted_again_before_it_is_saved(admin_client: Client) -> None:
    shop = key("Shop")
    yesterday = timezone.now().replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=1)
    UsageHour.objects.create(organisation_id="acme", key=shop, api_id="orders", hour=yesterday, passed=60)
    spend(shop.token, "orders", 7)
    shown = posted(admin_client, "what-if", quota_max="5")
    assert "<dd>55</dd>" in shown, shown
    assert "Above the quota now: their next request would be denied" in shown and "Shop" in shown
    assert Policy.objects.get().quota_max == 100
    assert "<dd>0</dd>" in posted(admin_client, "what-if", quota_max="60")


def test_access_that_is_taken_away_is_counted(admin_client: Client) -> None:
    shop = key("Shop")
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=30)
    UsageHour.objects.create(organisation_id="acme", key=shop, api_id="orders", hour=hour, passed=9)
    assert "Refused: no access any more" in posted(admin_client, "what-if", **{"access-0-DELETE": "on"})
    assert PolicyAccess.objects.count() == 1


def test_a_form_with_errors_is_not_counted(admin_client: Client) -> None:
    assert "Correct the form first" in posted(admin_client, "what-if", trigger_limits="50, 80")


def test_a_form_that_somebody_overtook_is_counted_as_it_stands(admin_client: Client) -> None:
    assert "Correct the form first" not in posted(admin_client, "what-if", quota_max="5", seen_version="of long ago")


def test_a_store_that_is_down_is_said(admin_client: Client, settings: Any) -> None:
    key("Shop")
    settings.GATEWAY_STORE_URL = NOWHERE
    assert "The counter store does not answer" in posted(admin_client, "what-if", quota_max="5")


def test_who_may_not_see_the_policy_asks_nothing(client: Client) -> None:
    limited_staff(client, "view_key")
    for page in ("what-if", "subject"):
        assert client.post(f"{PAGE}{page}/").status_code == 403
        assert client.get(f"{PAGE}{page}/").status_code == 405
