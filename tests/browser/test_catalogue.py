"""Policies, APIs and tokens as people use them, in a real browser."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from organisations_app import jobs
from organisations_app.admin_tokens import find_token
from organisations_app.models import AuditEntry, Job
from policies_app import catalogue
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import grants, routes, whatif
from sessions_app.keys import create_key
from sessions_app.models import Key
from tests.administration import spend
from tests.factories import AcmeFactory
from tests.sessions_app.edge.upstream import Upstream

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

PASSWORD = "a-good-password"
POLICY = "/admin/policies_app/policy/free/change/"
API = "/admin/policies_app/api/orders/change/"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def token(upstream: Upstream) -> str:
    """Of a key whose policy allows ten requests."""
    grants.forget()
    routes.forget()
    acme = AcmeFactory.create()
    api = Api(id="orders", organisation=acme, name="Orders", listen_path="/orders/", target_url=upstream.url)
    catalogue.save_api(api)
    pattern = {"rate_limit_pattern": "$tyk_meta.DeveloperID|$tyk_meta.PlanID", "PlanID": "free"}
    policy = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, meta_data=pattern)
    PolicyAccess.objects.create(policy=policy, api=api)
    User.objects.create_superuser("root", "root@acme.example", PASSWORD)
    return create_key(Key(organisation=acme, alias="Shop", meta_data={"DeveloperID": "dev-1"}), policies=["free"])


@pytest.fixture
def admin_page(page: Page) -> Page:
    page.goto("/admin/login/")
    page.get_by_label("Username").fill("root")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)
    return page


def test_a_change_of_a_policy_is_previewed_then_saved_with_a_reason(admin_page: Page, token: str) -> None:
    spend(token, "orders", 6)
    admin_page.goto(POLICY)
    admin_page.locator("#id_quota_max").fill("4")
    admin_page.get_by_role("button", name="Preview this change").click()
    shown = admin_page.locator("#what-if-shown")
    expect(shown).to_contain_text("Above the quota now: their next request would be denied")
    expect(shown).to_contain_text("dev-1|free")
    assert Policy.objects.get().quota_max == 10
    admin_page.get_by_placeholder("Reason, for the audit").fill("too many calls")
    admin_page.get_by_role("button", name="Save", exact=True).click()
    admin_page.wait_for_url("**/policies_app/policy/")
    entry = AuditEntry.objects.get()
    assert (entry.before, entry.after, entry.reason) == ({"quota_max": 10}, {"quota_max": 4}, "too many calls")


def test_a_change_for_many_keys_is_counted_by_a_worker_and_its_draft_comes_back(
    admin_page: Page, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatif, "KEYS_AT_ONCE", 0)
    spend(token, "orders", 6)
    admin_page.goto(POLICY)
    admin_page.locator("#id_quota_max").fill("4")
    admin_page.get_by_role("button", name="Preview this change").click()
    shown = admin_page.locator("#what-if-shown")
    expect(shown).to_contain_text("Looking which keys are meant.")
    jobs.work(Job.objects.get().pk)
    expect(shown).to_contain_text("dev-1|free")
    shown.get_by_role("link", name="on a page of its own").click()
    expect(admin_page.get_by_role("heading", name="What if: Free")).to_be_visible()
    admin_page.get_by_role("button", name="Back to the form with this draft").click()
    expect(admin_page.get_by_text("Nothing is saved yet.")).to_be_visible()
    expect(admin_page.locator("#id_quota_max")).to_have_value("4")
    expect(shown).to_contain_text("dev-1|free")
    assert Policy.objects.get().quota_max == 10
    admin_page.get_by_role("button", name="Save", exact=True).click()
    admin_page.wait_for_url("**/policies_app/policy/")
    assert Policy.objects.get().quota_max == 4


def test_the_pattern_is_computed_while_it_is_typed(admin_page: Page) -> None:
    admin_page.goto(POLICY)
    shown = admin_page.locator("#subject-shown")
    expect(shown).to_contain_text("dev-1|free")
    plan = admin_page.get_by_label("Value", exact=True).nth(1)
    plan.fill("gold")
    expect(shown).to_contain_text("dev-1|gold")


def test_a_listen_path_is_judged_while_it_is_typed(admin_page: Page) -> None:
    admin_page.goto("/admin/policies_app/api/add/")
    path, says = admin_page.locator("#id_listen_path"), admin_page.locator("#listen-path-says")
    for typed, words in (
        ("/orders/", "Another API listens there already. It is Orders."),
        ("/tyk/", "reserved"),
        ("/new/", "Free."),
    ):
        path.fill(typed)
        expect(says).to_contain_text(words)


def test_a_request_is_tried_with_a_pasted_key(admin_page: Page, token: str) -> None:
    admin_page.goto(API)
    admin_page.get_by_label("Path below /orders/").fill("echo?limit=1")
    admin_page.get_by_label("Key", exact=True).fill(token)
    admin_page.get_by_role("button", name="Send").click()
    shown = admin_page.locator("#try-shown")
    expect(shown).to_contain_text("200")
    expect(shown).to_contain_text("X-Ratelimit-Remaining")
    expect(shown).to_contain_text("/echo?limit=1")
    assert token not in shown.inner_text()


def test_a_token_is_made_with_the_keyboard_alone(admin_page: Page) -> None:
    admin_page.goto("/admin/organisations_app/admintoken/add/")
    keyboard = admin_page.keyboard
    admin_page.get_by_label("Name", exact=False).first.focus()
    keyboard.type("CI")
    for _ in range(30):
        keyboard.press("Tab")
        if admin_page.evaluate("document.activeElement.dataset.tick") == "read":
            break
    keyboard.press("Enter")
    expect(admin_page.get_by_label("read keys")).to_be_checked()
    expect(admin_page.get_by_label("write keys")).not_to_be_checked()
    for _ in range(60):
        keyboard.press("Tab")
        if admin_page.evaluate("document.activeElement.name") == "_save":
            break
    keyboard.press("Enter")
    admin_page.wait_for_selector("#secret")
    token = find_token(admin_page.locator("#secret").inner_text())
    assert token is not None and "keys:read" in token.scopes and "keys:write" not in token.scopes
