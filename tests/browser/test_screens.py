"""The screens as people use them, in a real browser."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from organisations_app.models import Developer
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.keys import create_key, find_by_token
from sessions_app.models import Key, OrgSession
from tests.factories import AppFactory, MemberFactory

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("store"),
]

PASSWORD = "a-good-password"
KEYS = "/admin/sessions_app/key/"
ADMIN_PAGES = (
    "/admin/",
    KEYS,
    f"{KEYS}add/",
    f"{KEYS}key_shop/change/",
    f"{KEYS}key_shop/revoke/",
    "/admin/policies_app/policy/free/change/",
    "/admin/policies_app/api/",
    "/admin/sessions_app/orgsession/",
    "/admin/organisations_app/organisation/acme/change/",
    "/admin/monitors_app/monitor/add/",
    "/admin/monitors_app/triggerevent/",
    "/admin/monitors_app/delivery/",
)
PORTAL_PAGES = ("/", "/portal/", "/portal/keys/key_shop/", "/portal/emails/", "/portal/password/")


@pytest.fixture
def member() -> Developer:
    member: Developer = MemberFactory.create()
    member.user.set_password(PASSWORD)
    member.user.save()
    return member


@pytest.fixture
def shop(member: Developer) -> Key:
    """A key with a policy; the superuser `root` looks after it."""
    acme = member.organisation
    User.objects.create_superuser("root", "root@acme.example", PASSWORD)
    api = Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")
    policy = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, quota_renewal_rate=60)
    PolicyAccess.objects.create(policy=policy, api=api)
    OrgSession.objects.create(organisation=acme, quota_max=1000, quota_renewal_rate=86_400)
    key = Key(pk="key_shop", organisation=acme, application=AppFactory.create(developer=member), alias="Shop")
    create_key(key, policies=["free"])
    return key


def log_in(page: Page, address: str, username: str) -> None:
    page.goto(address)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)


def choose(page: Page, field: str, text: str) -> None:
    """Picks from a field that searches as one types."""
    page.locator(f"select[name={field}] + .select2").click()
    page.locator(".select2-search__field").last.fill(text)
    page.locator(".select2-results__option", has_text=text).click()


def is_too_wide(page: Page) -> bool:
    wide: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wide


def test_a_key_is_made_shown_once_and_revoked(page: Page, shop: Key) -> None:
    log_in(page, "/admin/login/", "root")
    page.goto(f"{KEYS}add/")
    page.get_by_label("Alias").fill("Made in a browser")
    choose(page, "organisation", "Acme")
    page.get_by_role("link", name="Add another Applied policy").click()
    choose(page, "key_policies-0-policy", "Free")
    page.get_by_role("button", name="Save", exact=True).click()

    token = page.locator("#secret").inner_text()
    assert re.fullmatch(r"tg_\w{32}_\w{6}", token) and find_by_token(token) is not None
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == token

    expect(page.get_by_role("link", name="Open Made in a browser")).to_be_visible()
    page.reload()  # shows the key, and makes no second
    assert Key.objects.filter(alias="Made in a browser").count() == 1
    expect(page.get_by_text("10 remaining")).to_be_visible()
    assert token not in page.content()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_label("Reason").fill("only a test")
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("Revoked: Made in a browser")).to_be_visible()
    assert find_by_token(token) is None


def test_a_whole_key_in_the_search_box_stays_out_of_the_address(page: Page, shop: Key) -> None:
    token = create_key(Key(organisation=shop.organisation, alias="Hidden"), policies=["free"])
    log_in(page, "/admin/login/", "root")
    page.goto(KEYS)
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.locator("#searchbar").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/")
    expect(page.get_by_label("Alias")).to_have_value("Hidden")
    assert addresses and not any(token in address for address in addresses)


def test_own_limits_of_an_api_appear_with_their_switch(page: Page, shop: Key) -> None:
    log_in(page, "/admin/login/", "root")
    page.goto("/admin/policies_app/policy/free/change/")
    limit = page.locator("[name=access-0-quota_max]")
    expect(limit).to_be_hidden()
    page.locator("[name=access-0-has_limit]").check(force=True)
    expect(limit).to_be_visible()


def test_a_wrong_threshold_is_explained_at_its_field(page: Page, shop: Key) -> None:
    log_in(page, "/admin/login/", "root")
    page.goto("/admin/policies_app/policy/free/change/")
    page.get_by_label("Thresholds (% used)").fill("50, 80")
    words = page.get_by_text("Thresholds must descend: 90, 75, 50; the 2nd, 80, is above the 1st, 50.")
    expect(words).to_be_visible()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(words.first).to_be_visible()
    expect(page.locator("[name=trigger_limits]")).to_have_value("50, 80")


def test_a_developer_sees_their_keys_and_logs_out(page: Page, shop: Key) -> None:
    log_in(page, "/portal/login/", "member")
    card = page.get_by_role("article", name="Shop")
    expect(card.get_by_role("meter")).to_have_attribute("aria-valuetext", "0 of 10 requests used")
    expect(card.get_by_text("Active")).to_be_visible()
    page.get_by_role("link", name="Shop").click()
    expect(page.get_by_role("heading", name="Thresholds reached")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/portal/login/")


def test_the_portal_refreshes_itself(page: Page, shop: Key) -> None:
    page.clock.install()
    log_in(page, "/portal/login/", "member")
    expect(page.get_by_role("article", name="Shop")).to_be_visible()
    Key.objects.update(alias="Renamed meanwhile")
    page.clock.run_for(11_000)
    expect(page.get_by_role("article", name="Renamed meanwhile")).to_be_visible()


def test_the_portal_works_with_the_keyboard_alone(page: Page, shop: Key) -> None:
    log_in(page, "/portal/login/", "member")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Shop")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/portal/keys/key_shop/")


@pytest.mark.parametrize("width", [390, 1440])
def test_no_page_scrolls_sideways(page: Page, shop: Key, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    log_in(page, "/portal/login/", "member")
    wide = [address for address in PORTAL_PAGES if _opens_too_wide(page, address)]
    page.context.clear_cookies()
    log_in(page, "/admin/login/", "root")
    wide += [address for address in ADMIN_PAGES if _opens_too_wide(page, address)]
    assert wide == []


def _opens_too_wide(page: Page, address: str) -> bool:
    response: Any = page.goto(address)
    assert response.status == 200, address
    return is_too_wide(page)
