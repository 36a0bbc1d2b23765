"""The page that describes `/api/v1`, under the content security policy of the site."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.administration import SECRET
from tests.factories import AcmeFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_page_shows_every_resource_and_tries_an_operation(page: Page, settings) -> None:
    settings.GATEWAY_ADMIN_SECRET = SECRET
    AcmeFactory.create()
    page.goto("/api/v1/docs/")
    expect(page.get_by_role("heading", name=re.compile("Tollgate API"))).to_be_visible()
    for resource in ("organisations", "keys", "monitors", "deliveries", "usage", "audit", "tokens"):
        expect(page.locator(f"#operations-tag-{resource}")).to_be_visible()
    page.get_by_role("button", name="Authorize").click()
    bearer = page.locator("form", has=page.locator("#auth-bearer-value"))
    bearer.locator("#auth-bearer-value").fill(SECRET)
    bearer.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").first.click()
    operation = page.locator("#operations-organisations-organisations_retrieve")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_placeholder("id").fill("acme")
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("Europe/Berlin")
