"""axe-core finds nothing serious on any page, by day and by night."""

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.db.models import Model
from playwright.sync_api import Browser, Page

from organisations_app.models import AttributeDefinition, Organisation
from sessions_app.models import Key
from tests.admin_world import everything_of
from tests.factories import AcmeFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

PASSWORD = "a-good-password"
SERIOUS = ("serious", "critical")
PUBLIC = ("/", "/admin/login/", "/portal/login/", "/portal/nothing-here/")
DOCS = "/api/v1/docs/"
SWAGGERS_OWN = ": nested-interactive: "  # its headings of operations are buttons with a link inside
PORTAL = ("/portal/", "/portal/keys/key_acme/", "/portal/emails/", "/portal/password/")
KEY = "/admin/sessions_app/key/key_5Facme"
ASKING = (f"{KEY}/revoke/", f"{KEY}/rotate/", f"{KEY}/delete/", "/admin/password_change/")
# The least that the walk below must find: a list and a form of each noun.
FEWEST_PAGES = 35

Rows = dict[type[Model], Model]


@pytest.fixture
def world() -> Rows:
    rows = everything_of(AcmeFactory.create(), "Acme")
    rows[Group] = Group.objects.get_or_create(name="operator")[0]
    rows[AttributeDefinition] = AttributeDefinition.objects.create(name="plan")
    developer: Any = User.objects.get(username="acme")
    developer.set_password(PASSWORD)
    developer.save()
    User.objects.create_superuser("root", "root@acme.example", PASSWORD)
    return rows


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Browser, live_server: Any) -> Iterator[Page]:
    context = browser.new_context(
        base_url=live_server.url,
        color_scheme=request.param,
        reduced_motion="reduce",
        viewport={"width": 1440, "height": 900},
    )
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def log_in(page: Page, address: str, username: str) -> None:
    page.goto(address)
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "login" not in url)


def admin_pages(rows: Rows) -> Iterator[str]:
    """Home, and of each model its list, the form for a new row, and the page of one."""
    yield "/admin/"
    for model in admin.site._registry:
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        yield from (base, f"{base}add/", f"{base}{quote(str(rows[model].pk))}/change/")


def findings(page: Page, addresses: tuple[str, ...]) -> tuple[list[str], int]:
    """What axe-core calls serious or worse, and how many pages it looked at. Pages that refuse are left out."""
    found, seen = [], 0
    for address in addresses:
        response: Any = page.goto(address)
        if response.status in (403, 405):
            continue
        seen += 1
        page.wait_for_load_state("networkidle")
        violations = Axe().run(page).response["violations"]
        found += [
            f"{address}: {violation['id']}: {node['html'][:120]}"
            for violation in violations
            if violation["impact"] in SERIOUS
            for node in violation["nodes"]
        ]
    return found, seen


def test_every_page_of_the_admin_is_accessible(page: Page, world: Rows) -> None:
    log_in(page, "/admin/login/", "root")
    found, seen = findings(page, (*admin_pages(world), *ASKING))
    assert found == []
    assert seen >= FEWEST_PAGES


def test_every_page_of_the_portal_is_accessible(page: Page, world: Rows) -> None:
    assert isinstance(world[Key], Key) and isinstance(world[Organisation], Organisation)
    log_in(page, "/portal/login/", "acme")
    assert findings(page, PORTAL) == ([], len(PORTAL))


def test_every_public_page_is_accessible(page: Page, world: Rows) -> None:
    assert findings(page, PUBLIC) == ([], len(PUBLIC))


def test_the_page_that_describes_the_api_is_accessible_but_for_swaggers_own_headings(page: Page, world: Rows) -> None:
    found, _ = findings(page, (DOCS,))
    assert [each for each in found if SWAGGERS_OWN not in each] == []


def test_the_judge_finds_what_is_wrong(page: Page) -> None:
    """Else the tests above would pass without looking."""
    page.set_content('<html lang="en"><title>x</title><img src="data:,"><p style="color:#bbb;background:#fff">pale</p>')
    found = {violation["id"] for violation in Axe().run(page).response["violations"]}
    assert {"image-alt", "color-contrast"} <= found
