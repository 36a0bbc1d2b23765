"""The admin of monitors, events and deliveries: secrets stay masked, history stays as it was."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from monitors_app.monitors import MASK, gateway_monitor, header_map, save_monitor
from organisations_app import sealing
from organisations_app.models import ConfigVersion
from tests.admin_pages import errors_of, submit
from tests.factories import AcmeFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

MONITORS = "/admin/monitors_app/monitor/"
EVENTS = "/admin/monitors_app/triggerevent/"
DELIVERIES = "/admin/monitors_app/delivery/"
RAW = "tg_a-raw-key-that-nobody-may-see"


@pytest.fixture
def monitor() -> Monitor:
    monitor = Monitor(name="Billing", target_path="https://hooks.example/quota")
    save_monitor(monitor, header_map={"X-Token": "s3cret-value"})
    return monitor


@pytest.fixture
def delivery(monitor: Monitor) -> Delivery:
    event = TriggerEvent.objects.create(
        kind="key",
        counter="c",
        period_start_ms=1_790_000_000_000,
        source="free",
        threshold="80",
        organisation_id="acme",
        key_id="key_1",
        key_hint="tg_…see",
        key_sealed=sealing.seal(RAW),
        alias="Storefront",
        used=8,
        quota_max=10,
        occurred_at=timezone.now(),
    )
    delivery = Delivery.objects.create(
        event=event,
        channel="webhook",
        monitor=monitor,
        recipient=monitor.target_path,
        subject="key_1",
        status="failed",
        headers_sealed=monitor.header_map_sealed,
        body='{"key":"\\ue000key\\ue001","trigger_limit":"80"}',
    )
    Attempt.objects.create(
        delivery=delivery, number=1, started_at=timezone.now(), duration_ms=12, status_code=500, error="HTTP 500"
    )
    return delivery


def page(monitor: Monitor) -> str:
    return f"{MONITORS}{monitor.pk}/change/"


# --- monitors ---------------------------------------------------------------------------------------------------------


def test_secrets_are_masked_and_the_mask_keeps_them(admin_client: Client, monitor: Monitor) -> None:
    sealed = monitor.signing_secret_sealed
    html = admin_client.get(page(monitor)).content.decode()
    assert "X-Token" in html and MASK in html
    assert "s3cret-value" not in html and sealing.unseal(sealed) not in html
    submit(admin_client, page(monitor), event_timeout="2.5", header_map=f'{{"X-Token": "{MASK}", "X-Team": "billing"}}')
    monitor.refresh_from_db()
    assert header_map(monitor) == {"X-Token": "s3cret-value", "X-Team": "billing"}
    assert (monitor.signing_secret_sealed, monitor.event_timeout) == (sealed, 2.5)
    submit(admin_client, page(monitor), header_map="")
    assert header_map(Monitor.objects.get()) == {}


def test_a_new_monitors_secret_is_shown_once(admin_client: Client) -> None:
    response = submit(admin_client, f"{MONITORS}add/", name="New", target_path="https://hooks.example/")
    secret = sealing.unseal(Monitor.objects.get().signing_secret_sealed)
    assert secret.startswith("whsec_") and secret in response.content.decode()
    assert "no-store" in response.headers["Cache-Control"]
    assert secret not in f"{list(LogEntry.objects.values())} {dict(admin_client.session)}"
    assert secret not in admin_client.get(page(Monitor.objects.get())).content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"method": "TRACE"}, "method", "TRACE"),
        ({"target_path": "ftp://x"}, "target_path", "absolute URL"),
        ({"event_timeout": "-1"}, "event_timeout", "greater than or equal to 0"),
        ({"global_trigger_limit": "101"}, "global_trigger_limit", "at most 100"),
        ({"template": '{"a": "{{ nobody }}"}'}, "template", "nobody"),
        ({"template_path": "../settings.py"}, "template_path", ""),
        ({"header_map": "[]"}, "header_map", "JSON object"),
        ({"header_map": '{"Host": "x"}'}, "header_map", "cannot be set"),
        ({"header_map": f'{{"X-New": "{MASK}"}}'}, "header_map", "no stored value"),
        ({"signing_secret": "short"}, "signing_secret", "whsec_"),
    ],
)
def test_a_wrong_monitor_is_refused_at_its_field(
    admin_client: Client, monitor: Monitor, changes: dict[str, str], field: str, words: str
) -> None:
    before = Monitor.objects.values().get()
    response = submit(admin_client, page(monitor), name="Changed", **changes)
    assert words in errors_of(response)[field]
    assert Monitor.objects.values().get() == before


def test_a_change_moves_the_gateways_version(admin_client: Client, monitor: Monitor) -> None:
    before = ConfigVersion.objects.get(pk="gateway").number
    submit(admin_client, page(monitor), is_enabled=None)
    assert ConfigVersion.objects.get(pk="gateway").number == before + 1
    admin_client.post(f"{MONITORS}{monitor.pk}/delete/", {"post": "yes"})
    assert ConfigVersion.objects.get(pk="gateway").number == before + 2


def test_the_gateways_own_monitor_cannot_be_deleted(admin_client: Client) -> None:
    own = gateway_monitor()
    assert admin_client.post(f"{MONITORS}{own.pk}/delete/", {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": own.pk, "post": "yes"}
    admin_client.post(MONITORS, selected)
    assert Monitor.objects.get() == own


def test_a_test_that_cannot_be_sent_says_why(admin_client: Client) -> None:
    silent = Monitor(name="E-mails only")
    save_monitor(silent)
    response = admin_client.post(f"{MONITORS}{silent.pk}/test/", {"confirmed": "yes"}, follow=True)
    assert "has no target URL" in response.content.decode()
    assert admin_client.get(f"{MONITORS}{silent.pk}/test/").status_code == 200 and not Delivery.objects.exists()


# --- events and deliveries --------------------------------------------------------------------------------------------


def test_no_page_shows_a_raw_key_or_a_secret(admin_client: Client, delivery: Delivery) -> None:
    for url in (
        EVENTS,
        f"{EVENTS}{delivery.event_id}/change/",
        DELIVERIES,
        f"{DELIVERIES}{delivery.pk}/change/",
        "/admin/",
    ):
        html = admin_client.get(url).content.decode()
        assert "Storefront" in html
        assert RAW not in html and "s3cret-value" not in html and delivery.event.key_sealed not in html
    assert "tg_…see" in admin_client.get(f"{DELIVERIES}{delivery.pk}/change/").content.decode()


@pytest.mark.parametrize("what", ["triggerevent", "delivery"])
def test_history_can_be_read_but_not_written(admin_client: Client, delivery: Delivery, what: str) -> None:
    base = f"/admin/monitors_app/{what}/"
    assert admin_client.get(f"{base}add/").status_code == 403
    for action in ("change", "delete"):
        assert admin_client.post(f"{base}{delivery.pk}/{action}/", {"post": "yes", "used": "1"}).status_code == 403
    assert TriggerEvent.objects.get().used == 8


@pytest.mark.parametrize("bulk", [False, True])
def test_a_failed_delivery_is_sent_again(
    admin_client: Client, delivery: Delivery, bulk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors_app.delivery.wake", lambda *_: True)
    url = DELIVERIES if bulk else f"{DELIVERIES}{delivery.pk}/redeliver_one/"
    data: dict[str, Any] = {"action": "redeliver_selected", "_selected_action": delivery.pk} if bulk else {}
    assert "sent again" in admin_client.post(url, data).content.decode()
    assert Delivery.objects.get().status == "failed"
    admin_client.post(url, {**data, "confirmed": "yes"})
    assert Delivery.objects.get().status == "pending"
    again = admin_client.post(url, {**data, "confirmed": "yes"}, follow=True)
    assert "left alone" in again.content.decode()


@pytest.mark.parametrize("url", [MONITORS, EVENTS, DELIVERIES, "/admin/"])
def test_lists_stay_below_12_queries(
    admin_client: Client, delivery: Delivery, url: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        organisation = AcmeFactory.create(id=f"org{number}")
        Monitor.objects.create(name=f"Monitor {number}", organisation=organisation)
        event = TriggerEvent.objects.latest("pk")
        event.pk, event.threshold = None, f"{number}"
        event.save()
        Delivery.objects.create(
            event=event, channel="webhook", monitor=delivery.monitor, recipient="x", status="failed"
        )
    with django_assert_max_num_queries(12):
        assert admin_client.get(url).status_code == 200
