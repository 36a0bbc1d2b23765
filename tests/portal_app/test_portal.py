"""The developer portal: who sees what, live usage, e-mail choice, and the pages around it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from monitors_app.models import TriggerEvent
from monitors_app.preferences import thresholds_of
from organisations_app.models import Developer
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.keys import create_key, revoke_key
from sessions_app.models import Key, OrgSession, UsageHour
from tests.factories import AcmeFactory, AdminFactory, AppFactory, MemberFactory, OutsiderFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def member() -> Developer:
    return MemberFactory.create()


@pytest.fixture
def portal(client: Client, member: Developer) -> Client:
    client.force_login(member.user)
    return client


@pytest.fixture
def free() -> Policy:
    acme = AcmeFactory.create()
    policy = Policy.objects.create(
        id="free",
        organisation=acme,
        name="Free",
        quota_max=10,
        quota_renewal_rate=60,
        rate=5,
        per=1,
        trigger_limits=[80, 50],
    )
    api = Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")
    PolicyAccess.objects.create(policy=policy, api=api)
    return policy


def make_key(developer: Developer, alias: str, **fields: Any) -> Key:
    app = AppFactory.create(developer=developer, name=f"{alias} app")
    key = Key(organisation=developer.organisation, application=app, alias=alias, **fields)
    create_key(key, policies=["free"])
    return key


def page(key: Key) -> str:
    return f"/portal/keys/{key.pk}/"


# --- who sees what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "emails/", "password/", "keys/key_x/"])
def test_everything_needs_a_login_and_leads_back(client: Client, path: str) -> None:
    response = client.get(f"/portal/{path}")
    assert response.headers["Location"] == f"/portal/login/?next=/portal/{path}"


def test_a_developer_logs_in_and_out(client: Client, member: Developer) -> None:
    member.user.set_password("a-good-password")
    member.user.save()
    wrong = client.post("/portal/login/", {"username": "member", "password": "no"})
    assert "enter a correct username and password" in wrong.content.decode().lower()
    right = client.post("/portal/login/", {"username": "member", "password": "a-good-password"})
    assert right.headers["Location"] == "/portal/"
    assert client.get("/portal/").status_code == 200
    assert client.get("/portal/logout/").status_code == 405
    client.post("/portal/logout/")
    assert client.get("/portal/").status_code == 302


def test_a_login_goes_on_to_pages_of_this_site_only(client: Client, member: Developer) -> None:
    member.user.set_password("a-good-password")
    member.user.save()
    form = {"username": "member", "password": "a-good-password", "next": "https://evil.example/"}
    assert client.post("/portal/login/", form).headers["Location"] == "/portal/"


def test_shows_own_keys_only(portal: Client, member: Developer, free: Policy) -> None:
    own = make_key(member, "Mine")
    others = [make_key(AdminFactory.create(), "Colleague's"), make_key(OutsiderFactory.create(), "Stranger's")]
    html = portal.get("/portal/").content.decode()
    assert "Mine" in html and page(own) in html
    for key in others:
        assert key.alias[:-2] not in html and portal.get(page(key)).status_code == 404


def test_staff_without_a_developer_is_told_so(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    response = client.get("/portal/")
    assert response.status_code == 403 and "This login is no developer" in response.content.decode()


# --- pages ------------------------------------------------------------------------------------------------------------


def test_the_list_shows_used_max_renewal_policy_status_and_thresholds(
    portal: Client, member: Developer, free: Policy
) -> None:
    make_key(member, "Shop")
    html = portal.get("/portal/").content.decode()
    for text in ("Shop app", "Free", "Active", "0 of 10 used per minute", "10 remaining", "80 %", "50 %", "tg_…"):
        assert text in html
    assert "Times are in Europe/Berlin" in html


def test_keys_that_work_come_first(portal: Client, member: Developer, free: Policy) -> None:
    revoke_key(make_key(member, "A revoked one"))
    make_key(member, "B expired", expires_at=timezone.now() - timedelta(days=1))
    make_key(member, "Z working")
    cards = portal.get("/portal/").context["cards"]
    assert [(card.key.alias, card.status) for card in cards] == [
        ("Z working", "active"),
        ("A revoked one", "revoked"),
        ("B expired", "expired"),
    ]


def test_a_blocked_organisation_makes_its_keys_inactive(portal: Client, member: Developer, free: Policy) -> None:
    make_key(member, "Shop")
    OrgSession.objects.create(organisation=member.organisation, is_inactive=True)
    assert portal.get("/portal/").context["cards"][0].status == "inactive"


def test_a_key_has_a_page_with_limits_history_and_events(portal: Client, member: Developer, free: Policy) -> None:
    key = make_key(member, "Shop")
    now = timezone.now()
    UsageHour.objects.create(organisation=member.organisation, key=key, api_id="orders", hour=now, passed=41, denied=3)
    for key_id, used in ((key.pk, 8), (make_key(member, "Other").pk, 9)):
        TriggerEvent.objects.create(
            kind="key", counter=key_id, period_start_ms=1, source="free", threshold="80", organisation_id="acme",
            key_id=key_id, used=used, quota_max=10, occurred_at=now,
        )  # fmt: skip
    html = portal.get(page(key)).content.decode()
    for text in ("/orders/", "10 requests per minute", "5 requests per second", "41 passed", "3 denied", "8 of 10"):
        assert text in html
    assert "9 of 10" not in html


def test_pages_work_without_the_store(portal: Client, member: Developer, free: Policy, settings: Any) -> None:
    key = make_key(member, "Shop")
    settings.GATEWAY_STORE_URL = NOWHERE
    for url in ("/portal/", page(key)):
        response = portal.get(url)
        assert response.status_code == 200 and "The counter store does not answer" in response.content.decode()
        assert "Shop" in response.content.decode()


def test_empty_pages_say_what_to_do(portal: Client, member: Developer, free: Policy) -> None:
    assert "You have no application yet" in portal.get("/portal/").content.decode()
    AppFactory.create(developer=member, name="Shop")
    assert "make a key for “Shop”" in portal.get("/portal/").content.decode()
    key = Key(organisation=member.organisation, application=AppFactory.create(developer=member, name="Shop"))
    create_key(key)
    assert "no access to any API" in portal.get(page(key)).content.decode()


def test_the_number_of_queries_does_not_grow_with_the_keys(
    portal: Client, member: Developer, free: Policy, django_assert_max_num_queries: Any
) -> None:
    for number in range(12):
        make_key(member, f"Key {number}")
    with django_assert_max_num_queries(15):
        assert portal.get("/portal/").content.decode().count('class="usage-bar"') == 12


def test_the_choice_of_e_mails_is_kept(portal: Client, member: Developer) -> None:
    assert 'value="immediate" checked' in portal.get("/portal/emails/").content.decode()
    answer = portal.post("/portal/emails/", {"thresholds": "off"}, follow=True)
    assert "Your choice is saved" in answer.content.decode() and thresholds_of(member) == "off"
    assert portal.post("/portal/emails/", {"thresholds": "hourly"}).status_code == 400
    assert thresholds_of(member) == "off"
    wrong = portal.post("/portal/emails/", {"thresholds": "digest", "digest_at": "<b>25:99"})
    html = wrong.content.decode()
    assert wrong.status_code == 400 and "is no time of day" in html and "<b>25" not in html
    assert 'value="digest" checked' in html and "&lt;b&gt;25:99" in html, "nothing typed is lost"
    portal.post("/portal/emails/", {"thresholds": "digest", "digest_at": "06:45"})
    assert 'value="06:45"' in portal.get("/portal/emails/").content.decode()


def test_the_password_can_be_changed(portal: Client, member: Developer) -> None:
    member.user.set_password("a-good-password")
    member.user.save()
    portal.force_login(member.user)
    new = {"new_password1": "another-good-one", "new_password2": "another-good-one"}
    assert portal.post("/portal/password/", {"old_password": "wrong", **new}).status_code == 200
    assert portal.post("/portal/password/", {"old_password": "a-good-password", **new}).status_code == 302
    member.user.refresh_from_db()
    assert member.user.check_password("another-good-one")


# --- around it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("demo", [True, False])
def test_the_root_page_has_its_doors_and_the_inbox_only_in_the_demo(client: Client, settings: Any, demo: bool) -> None:
    settings.GATEWAY_DEMO = demo
    html = client.get("/").content.decode()
    for path in ("/admin/", "/portal/", "/api/v1/docs/", "/readyz"):
        assert f'href="{path}"' in html
    assert ('href="/demo/inbox/"' in html) is demo


def test_pages_run_under_a_policy_without_inline_code(portal: Client) -> None:
    for url in ("/", "/portal/", "/portal/emails/", "/nothing/here/"):
        response = portal.get(url)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        html = response.content.decode()
        assert " style=" not in html and "<style" not in html and " onclick=" not in html


def test_a_missing_page_says_so_in_the_same_look(client: Client) -> None:
    response = client.get("/nothing/here/")
    assert response.status_code == 404 and "There is no page here" in response.content.decode()


def test_an_error_page_needs_nothing_that_may_be_broken(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*args: Any) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr("portal_app.views.render", break_down)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500 and "Something broke on our side" in response.content.decode()


def test_a_key_page_says_who_shares_its_counter_and_names_own_keys_only(
    portal: Client, member: Developer, free: Policy
) -> None:
    free.meta_data = {"rate_limit_pattern": "$tyk_meta.team"}
    free.save()
    mine = AppFactory.create(developer=member, organisation=member.organisation)
    theirs = AppFactory.create(developer=AdminFactory.create(), organisation=member.organisation)
    made = []
    for alias, application in (("Shop", mine), ("Mobile", mine), ("Secret project", theirs), ("Alone", mine)):
        team = "blue" if alias == "Alone" else "red"
        key = Key(organisation=member.organisation, application=application, alias=alias, meta_data={"team": team})
        create_key(key, policies=["free"])
        made.append(key)
    page = portal.get(f"/portal/keys/{made[0].pk}/").content.decode()
    assert "Shared counter" in page and "Mobile" in page and "1 other key of your organisation" in page
    assert "Secret project" not in page and "Alone" not in page
    assert "No other key shares" in portal.get(f"/portal/keys/{made[3].pk}/").content.decode()


def test_the_admins_key_page_names_the_subject_and_all_sharers(
    admin_client: Client, member: Developer, free: Policy
) -> None:
    free.meta_data = {"rate_limit_pattern": "$tyk_meta.team"}
    free.save()
    made = [Key(organisation=member.organisation, alias=alias, meta_data={"team": "red"}) for alias in ("One", "Two")]
    for key in made:
        create_key(key, policies=["free"])
    page = admin_client.get(f"/admin/sessions_app/key/{made[0].pk.replace('_', '_5F')}/sharers/").content.decode()
    assert "<code>red</code>" in page and ">Two</a>" in page
