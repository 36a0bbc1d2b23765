"""Monitors as people use them, in a real browser: a test that shows request and answer, and the editor of templates."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from gateway_project.store import free_port
from monitors_app.models import Delivery, Monitor
from monitors_app.monitors import save_monitor
from organisations_app.models import AuditEntry
from tests.browser.test_screens import PASSWORD, log_in
from tests.monitors_app.admin_cast import delivery as delivery
from tests.monitors_app.admin_cast import monitor as monitor
from tests.monitors_app.conftest import Receiver
from tests.monitors_app.conftest import receiver as receiver

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

MONITORS = "/admin/monitors_app/monitor/"
TYPED = '{\n  "text": "{{ alias }} is at {{ usage_percent }} %"\n}'
MOST_TABS = 90  # the sidebar and the whole form


@pytest.fixture
def admin_page(page: Page) -> Page:
    User.objects.create_superuser("root", "root@acme.example", PASSWORD)
    log_in(page, "/admin/login/", "root")
    return page


def monitor_of(target: str) -> Monitor:
    billing = Monitor(name="Billing", target_path=target)
    save_monitor(billing, header_map={"X-Token": "s3cret-value"})
    return billing


def send_test(page: Page, tested: Monitor) -> None:
    page.goto(f"{MONITORS}{tested.pk}/change/")
    page.get_by_role("link", name="Send test").click()
    expect(page.get_by_text(f"goes to {tested.target_path}")).to_be_visible()
    page.get_by_label("Reason").fill("new receiver")
    page.get_by_role("button", name="Send test").click()
    page.wait_for_url("**/monitors_app/delivery/*/change/")


def panel(page: Page, heading: str) -> Locator:
    return page.get_by_role("region", name=heading)


# --- the test ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "told", "outcome"),
    [
        (200, "The receiver answered 200", "Delivered"),
        (500, "The test failed: The receiver answered 500", "Failed"),
    ],
)
def test_a_test_shows_what_was_sent_and_what_came_back(
    admin_page: Page, receiver: Receiver, status: int, told: str, outcome: str
) -> None:
    receiver.answers = [(status, {}, b"short and stout")]
    send_test(admin_page, monitor_of(receiver.url))
    expect(admin_page.get_by_text(told)).to_be_visible()
    request, answers = panel(admin_page, "Request"), panel(admin_page, "Answers")
    for shown in ("POST", receiver.url, "webhook-signature", "X-Token", "TriggerTest"):
        expect(request).to_contain_text(shown)
    expect(request.get_by_text(outcome, exact=True)).to_be_visible()
    expect(answers).to_contain_text(str(status))
    expect(answers).to_contain_text("short and stout")
    assert "s3cret-value" not in admin_page.content()
    [arrival] = receiver.arrivals
    assert (arrival.document["event"], arrival.headers["x-token"]) == ("TriggerTest", "s3cret-value")
    assert [(entry.action, entry.reason) for entry in AuditEntry.objects.all()] == [("test", "new receiver")]


def test_a_receiver_that_refuses_the_connection_is_told(admin_page: Page, receiver: Receiver) -> None:
    send_test(admin_page, monitor_of(f"http://127.0.0.1:{free_port()}/hook"))
    expect(admin_page.get_by_text("The test failed:")).to_be_visible()
    expect(panel(admin_page, "Answers")).to_contain_text("Could not reach the receiver: it refused the connection")
    expect(panel(admin_page, "Request").get_by_text("Failed", exact=True)).to_be_visible()
    assert receiver.arrivals == []


def test_an_address_that_is_guarded_is_never_called(admin_page: Page, receiver: Receiver, settings: Any) -> None:
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = ()
    send_test(admin_page, monitor_of(receiver.url))
    answers = panel(admin_page, "Answers")
    expect(answers).to_contain_text("a loopback address")
    expect(answers).to_contain_text("GATEWAY_WEBHOOK_ALLOWED_NETS")
    assert receiver.arrivals == [] and Delivery.objects.get().status == Delivery.Status.FAILED


@pytest.mark.parametrize(
    ("address", "heading"), [("triggerevent/{0.event_id}", "Trace"), ("delivery/{0.pk}", "Request")]
)
def test_what_a_page_is_opened_for_stands_on_top(
    admin_page: Page, delivery: Delivery, address: str, heading: str
) -> None:
    admin_page.goto(f"/admin/monitors_app/{address.format(delivery)}/change/")
    shown, fields = panel(admin_page, heading).bounding_box(), admin_page.locator("fieldset").first.bounding_box()
    assert shown is not None and fields is not None and shown["y"] + shown["height"] <= fields["y"]


# --- the template, with the keyboard alone ----------------------------------------------------------------------------


def test_a_template_is_previewed_corrected_and_saved_with_the_keyboard_alone(admin_page: Page) -> None:
    admin_page.goto(f"{MONITORS}{monitor_of('https://hooks.example/quota').pk}/change/")
    keyboard, template = admin_page.keyboard, admin_page.locator("#id_template")
    preview, problem = admin_page.locator("#id_template ~ .tg-code"), admin_page.locator("#id_template ~ [role=alert]")
    title = admin_page.locator("#id_template ~ .tg-muted")
    expect(preview).to_contain_text('"TriggerExceeded"')
    _tab_to(admin_page, "document.activeElement.id === 'id_template'")

    keyboard.insert_text('{\n  "text": "{{ alias }}')
    expect(problem).to_contain_text("line 2")
    expect(template).to_have_attribute("aria-invalid", "true")
    expect(preview).to_be_hidden()  # the sample of another template would look as if it were sent
    expect(title).to_contain_text("cannot be saved")
    keyboard.insert_text(' is at "\n}')
    expect(preview).to_have_text('{\n  "text": "Web shop is at "\n}')
    expect(problem).to_be_hidden()
    expect(title).to_have_text("Sent for a sample event")

    for _ in range(3):
        keyboard.press("ArrowLeft")
    _tab_to(admin_page, "document.activeElement.title === 'Insert {{ usage_percent }}'")
    keyboard.press("Enter")
    expect(template).to_be_focused()
    keyboard.type(" %")
    expect(template).to_have_value(TYPED)
    expect(preview).to_have_text('{\n  "text": "Web shop is at 80 %"\n}')

    keyboard.press("Control+End")
    keyboard.type("}")
    expect(problem).to_contain_text("line 3")
    _save(admin_page)
    error = admin_page.locator(".field-template .errorlist, .field-template .text-red-600").first
    expect(error).to_contain_text("line 3")
    expect(template).to_have_value(f"{TYPED}}}")
    assert Monitor.objects.get().template == ""

    _tab_to(admin_page, "document.activeElement.id === 'id_template'")
    keyboard.press("Control+End")
    keyboard.press("Backspace")
    expect(problem).to_be_hidden()
    _save(admin_page)
    admin_page.wait_for_url(f"**{MONITORS}")
    assert Monitor.objects.get().template.replace("\r\n", "\n") == TYPED


def _save(page: Page) -> None:
    _tab_to(page, "document.activeElement.name === '_save'")
    page.keyboard.press("Enter")


def _tab_to(page: Page, is_there: str) -> None:
    for _ in range(MOST_TABS):
        if page.evaluate(is_there):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"not reached with {MOST_TABS} tabs: {is_there}")
