"""The life of a key in the admin, as people live it in a real browser; and its form with the keyboard alone."""

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from organisations_app.models import AuditEntry
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.keys import create_key, find_by_token
from sessions_app.models import Key
from tests.administration import spend
from tests.browser.test_screens import KEYS, PASSWORD, choose, log_in
from tests.factories import AcmeFactory

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("store"),
]


@pytest.fixture
def free() -> Policy:
    """A policy of ten requests a minute; the superuser `root` looks after it."""
    User.objects.create_superuser("root", "root@acme.example", PASSWORD)
    acme = AcmeFactory.create()
    api = Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")
    policy = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, quota_renewal_rate=3600)
    PolicyAccess.objects.create(policy=policy, api=api)
    return policy


def test_a_key_is_made_used_reset_and_revoked(page: Page, free: Policy) -> None:
    log_in(page, "/admin/login/", "root")
    page.goto(f"{KEYS}add/")
    page.get_by_label("Alias").fill("Storefront")
    choose(page, "organisation", "Acme")
    page.get_by_role("link", name="Add another Applied policy").click()
    choose(page, "key_policies-0-policy", "Free")
    page.get_by_role("button", name="Save", exact=True).click()
    token = page.locator("#secret").inner_text()

    spend(token, "orders", 7)
    page.goto(KEYS)
    meter = page.get_by_role("meter")
    expect(meter).to_have_attribute("aria-valuetext", "7 of 10 requests used")
    page.get_by_role("link", name=re.compile("Storefront")).first.click()
    expect(page.get_by_text("3 remaining")).to_be_visible()
    expect(page.get_by_role("heading", name="Effective limits")).to_be_visible()

    page.get_by_role("link", name="Reset quota").click()
    page.get_by_label("Reason").fill("goodwill")
    page.get_by_role("button", name="Reset quota").click()
    expect(page.get_by_text("10 remaining")).to_be_visible()
    expect(page.get_by_text("goodwill")).to_be_visible()

    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke key").click()
    expect(page.get_by_text("Revoked: Storefront")).to_be_visible()
    assert find_by_token(token) is None
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["create", "reset-quota", "revoke"]


def test_the_form_works_with_the_keyboard_alone(page: Page, free: Policy) -> None:
    create_key(Key(pk="key_own", organisation=free.organisation, alias="Own limits"))
    log_in(page, "/admin/login/", "root")
    page.goto(f"{KEYS}key_5Fown/change/")
    page.locator("#id_quota_max").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("500")
    page.keyboard.press("Tab")
    expect(page.locator("#id_resets_every_0")).to_be_focused()
    page.keyboard.type("custom")
    page.keyboard.press("Tab")
    expect(page.locator("#id_resets_every_1")).to_be_focused()
    page.keyboard.type("90")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Thresholds (% used)")).to_be_focused()
    page.keyboard.type("75,80,")
    expect(page.get_by_text("the 2nd, 80, is above the 1st, 75")).to_be_visible()
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+A")
    page.keyboard.type("50")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="descend")).to_be_hidden()
    page.get_by_role("button", name="Add a field").focus()
    page.keyboard.press("Enter")
    page.keyboard.type("PlanID")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("pro")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{KEYS}")
    key = Key.objects.get()
    assert (key.quota_max, key.quota_renewal_rate, key.trigger_limits) == (500, 90, [75, 50])
    assert key.meta_data == {"PlanID": "pro"}


def test_a_form_that_somebody_overtook_is_refused_and_keeps_what_was_typed(page: Page, free: Policy) -> None:
    create_key(Key(pk="key_own", organisation=free.organisation, alias="As it was"))
    log_in(page, "/admin/login/", "root")
    page.goto(f"{KEYS}key_5Fown/change/")
    Key.objects.update(alias="Theirs")
    page.get_by_label("Alias").fill("Mine")
    page.get_by_role("button", name="Save", exact=True).click()
    overtaken = page.get_by_role("alert").filter(has_text="Changed while you were editing")
    expect(overtaken.get_by_text("As it was")).to_be_visible()
    expect(overtaken.get_by_text("Theirs", exact=True)).to_be_visible()
    expect(page.get_by_label("Alias")).to_have_value("Mine")
    assert Key.objects.get().alias == "Theirs"
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{KEYS}")
    assert Key.objects.get().alias == "Mine"
