"""The parts of a key's page: where each limit comes from, requests by API, who changed what; and what is overtaken."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from organisations_app.models import AuditEntry, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from policies_app.periods import period_starts_ms
from sessions_app import history
from sessions_app.engine.names import BUCKETS
from sessions_app.keys import create_key
from sessions_app.models import Key, KeyAccess, UsageHour, UsageSnapshot
from sessions_app.store import sync_store
from sessions_app.usage_stacks import draw_stacks, key_charts
from tests.admin_pages import errors_of, form_values
from tests.administration import spend
from tests.factories import AcmeFactory, MonitorFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

LIST = "/admin/sessions_app/key/"
NOW = datetime(2026, 5, 10, 12, 30, tzinfo=UTC)


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create()


@pytest.fixture
def key(acme: Organisation) -> Any:
    MonitorFactory.create()
    for name in ("orders", "stock"):
        Api.objects.create(id=name, organisation=acme, name=name.title(), listen_path=f"/{name}/")
    quota = {"quota_renewal_rate": 3600, "trigger_limits": [50]}
    free = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, **quota)
    pro = Policy.objects.create(id="pro", organisation=acme, name="Pro", quota_max=100, rate=5, per=1, **quota)
    PolicyAccess.objects.create(policy=free, api_id="orders")
    PolicyAccess.objects.create(policy=pro, api_id="orders")
    PolicyAccess.objects.create(policy=free, api_id="stock", has_limit=True, quota_max=4)
    key = Key(organisation=acme, alias="Storefront")
    key.raw = create_key(key, policies=["free", "pro"])  # type: ignore[attr-defined]
    return key


def part(client: Client, key: Key, name: str) -> str:
    text: str = client.get(f"{LIST}{quote(key.pk)}/{name}/").content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_each_limit_says_where_it_comes_from_and_who_lost(admin_client: Client, key: Any) -> None:
    spend(key.raw, "orders", 60)
    words = part(admin_client, key, "limits")
    assert "Quota 100 requests per hour" in words and "policy Pro more generous than Free" in words
    assert "5 requests per second" in words or "no rate limit" not in words
    assert "Stock" in words and "4 requests in total" in words and "this key, on this API alone" in words


def test_a_threshold_that_was_told_is_marked(admin_client: Client, key: Any) -> None:
    Policy.objects.filter(pk="pro").update(rate=0, per=0)
    spend(key.raw, "orders", 50)
    html = admin_client.get(f"{LIST}{quote(key.pk)}/limits/").content.decode()
    assert 'class="tg-threshold fired"' in html and html.count("tg-threshold fired") == 1


def test_a_shared_counter_names_who_shares_it(admin_client: Client, key: Any, acme: Organisation) -> None:
    Policy.objects.filter(pk="pro").update(meta_data={"rate_limit_pattern": "$tyk_meta.PlanID", "PlanID": "pro"})
    create_key(Key(organisation=acme, alias="Mobile app"), policies=["pro"])
    assert "counts as pro , its custom rate limit key" in part(admin_client, key, "limits")
    assert "together with Mobile app" in part(admin_client, key, "sharers")


def test_changes_show_who_what_and_why(admin_client: Client, key: Any) -> None:
    url = f"{LIST}{quote(key.pk)}/change/"
    values = form_values(admin_client.get(url)) | {"alias": "Renamed", "audit_reason": "ticket 7"}
    assert admin_client.post(url, values).status_code == 302
    words = part(admin_client, key, "changes")
    assert "admin:admin change : ticket 7" in words and "alias: Storefront Renamed" in words
    assert key.raw not in str(list(AuditEntry.objects.values()))


def test_the_parts_are_for_those_who_may_look(client: Client, key: Any) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    for name in ("usage", "limits", "sharers", "requests", "changes"):
        assert client.get(f"{LIST}{quote(key.pk)}/{name}/").status_code == 403


# --- overtaken forms --------------------------------------------------------------------------------------------------


def test_an_overtaken_form_is_refused_once_and_shows_both_versions(admin_client: Client, key: Any) -> None:
    url = f"{LIST}{quote(key.pk)}/change/"
    page = admin_client.get(url)
    values = form_values(page) | {"seen_version": page.context["seen_version"], "alias": "Mine", "tags": "mine"}
    Key.objects.update(alias="Theirs")
    refused: Any = admin_client.post(url, values)
    assert "somebody changed this" in errors_of(refused)["__all__"] and Key.objects.get().alias == "Theirs"
    [line] = refused.context["overtaken_by"]
    assert (line.member, line.was, line.became) == ("alias", "Storefront", "Theirs")
    form = refused.context["adminform"].form
    assert (form["alias"].value(), form["tags"].value()) == ("Mine", "mine")
    again = values | {"seen_version": refused.context["seen_version"]}
    assert admin_client.post(url, again).status_code == 302
    assert Key.objects.get().alias == "Mine"


def test_a_form_that_nobody_overtook_is_saved(admin_client: Client, key: Any) -> None:
    url = f"{LIST}{quote(key.pk)}/change/"
    page = admin_client.get(url)
    spend(key.raw, "orders")
    values = form_values(page) | {"seen_version": page.context["seen_version"], "alias": "Mine"}
    assert admin_client.post(url, values).status_code == 302


def test_rights_that_somebody_else_changed_count_as_overtaken_too(admin_client: Client, key: Any) -> None:
    url = f"{LIST}{quote(key.pk)}/change/"
    page = admin_client.get(url)
    values = form_values(page) | {"seen_version": page.context["seen_version"], "alias": "Mine"}
    KeyAccess.objects.create(key=key, api_id="stock")
    refused: Any = admin_client.post(url, values)
    assert "__all__" in errors_of(refused)


def test_a_forged_version_is_as_old_as_can_be(admin_client: Client, key: Any) -> None:
    url = f"{LIST}{quote(key.pk)}/change/"
    values = form_values(admin_client.get(url)) | {"seen_version": "forged"}
    refused: Any = admin_client.post(url, values)
    assert "__all__" in errors_of(refused)


# --- requests and fullness --------------------------------------------------------------------------------------------


def test_charts_add_up_by_api_hour_and_local_day(key: Any, acme: Organisation) -> None:
    for api, hours_ago, passed, denied in (("orders", 0, 5, 1), ("stock", 3, 7, 0), ("orders", 24 * 20, 100, 9)):
        hour = NOW.replace(minute=0) - timedelta(hours=hours_ago)
        row = {"organisation": acme, "key": key, "api_id": api, "hour": hour, "passed": passed, "denied": denied}
        UsageHour.objects.create(epoch="1", **row)
    day, month = key_charts(key.pk, ZoneInfo("Europe/Berlin"), NOW)
    assert (day.passed, day.denied, len(day.bars), day.highest) == (12, 1, 24, 7)
    assert (month.passed, month.denied, len(month.bars), month.highest) == (112, 10, 30, 109)
    assert [(api.name, api.kind) for api in month.apis] == [("Orders", "api-0"), ("Stock", "api-1")]
    assert day.bars[-1].words == "10 May, 14:00: 5 passed, 1 denied"


def test_segments_stand_on_each_other_and_fill_the_highest_bar() -> None:
    chart = draw_stacks("t", [{"a": (6, 1), "b": (2, 1)}, {}], ["x", "y"], {})
    assert [(one.kind, one.y, one.height) for one in chart.bars[0].segments] == [
        ("api-0", "40.00%", "60.00%"),
        ("api-1", "20.00%", "20.00%"),
        ("denied", "0.00%", "20.00%"),
    ]
    assert chart.bars[1].segments == ()


@pytest.mark.parametrize(("used", "found"), [("75", 1), ("90", 0)])
def test_keys_are_found_by_how_full_they_are(admin_client: Client, key: Any, used: str, found: int) -> None:
    Policy.objects.filter(pk="pro").update(rate=0, per=0)
    spend(key.raw, "orders", 80)
    for bucket in range(BUCKETS):
        history.copy_counters(sync_store(), bucket)
    snapshot = UsageSnapshot.objects.get()
    assert (snapshot.key_id, snapshot.percent) == (key.pk, 80) and snapshot.ends_at > timezone.now()
    assert len(admin_client.get(f"{LIST}?used={used}").context["cl"].result_list) == found
    UsageSnapshot.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    assert admin_client.get(f"{LIST}?used={used}").context["cl"].result_list == []


@pytest.mark.parametrize("period", ["rolling", "day", "endless"])
def test_a_snapshot_says_when_its_period_ends(key: Any, acme: Organisation, period: str) -> None:
    limits: Any = {"rolling": {"quota_renewal_rate": 600}, "day": {"quota_period": "day"}, "endless": {}}[period]
    Policy.objects.filter(pk="pro").update(rate=0, per=0, **{"quota_renewal_rate": 0, **limits})
    spend(key.raw, "orders", 1)
    for bucket in range(BUCKETS):
        history.copy_counters(sync_store(), bucket)
    snapshot = UsageSnapshot.objects.get()
    started = snapshot.period_start_ms
    midnight = period_starts_ms("day", 1, acme.timezone, started)[1]
    ends = {"rolling": started + 600_000, "day": midnight, "endless": None}[period]
    assert ends == (snapshot.ends_at and round(snapshot.ends_at.timestamp() * 1000))


def test_the_last_use_is_told_to_the_hour(admin_client: Client, key: Any, acme: Organisation) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    UsageHour.objects.create(organisation=acme, key=key, api_id="orders", hour=hour, epoch="1", passed=1)
    assert "5 h ago" in admin_client.get(LIST).content.decode()
