"""The admin of monitors: secrets stay masked, templates are checked as they are typed, and how deliveries fare."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from monitors_app import bodies
from monitors_app.health import p95
from monitors_app.models import Attempt, Delivery, Monitor
from monitors_app.monitors import MASK, gateway_monitor, header_map, save_monitor, signing_secrets
from organisations_app import sealing
from organisations_app.models import AuditEntry, ConfigVersion
from tests.admin_pages import errors_of, submit
from tests.monitors_app.admin_cast import delivery as delivery
from tests.monitors_app.admin_cast import monitor as monitor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

MONITORS = "/admin/monitors_app/monitor/"


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


def test_a_test_shows_the_request_masked_and_the_answer(admin_client: Client, receiver: Any) -> None:
    receiver.answers = [(418, {}, b"short and stout")]
    tried = Monitor(name="Tried", target_path=receiver.url)
    save_monitor(tried, header_map={"X-Token": "s3cret-value"})
    response = admin_client.post(f"{MONITORS}{tried.pk}/test/", {"confirmed": "yes", "reason": "new URL"}, follow=True)
    html = response.content.decode()
    for shown in ("POST", receiver.url, "X-Token", MASK, "webhook-signature", "TriggerTest", "418", "short and"):
        assert shown in html, shown
    assert "s3cret-value" not in html
    assert [(entry.action, entry.reason) for entry in AuditEntry.objects.all()] == [("test", "new URL")]


# --- the secret -------------------------------------------------------------------------------------------------------


def test_a_secret_is_rotated_with_the_overlap_that_was_chosen_and_shown_once(
    admin_client: Client, monitor: Monitor
) -> None:
    (old,), url = signing_secrets(monitor, timezone.now()), f"{MONITORS}{monitor.pk}/rotate_secret/"
    assert old not in admin_client.get(url).content.decode()
    response = admin_client.post(url, {"confirmed": "yes", "overlap_seconds": "3600", "reason": "leaked"})
    monitor.refresh_from_db()
    new, still = signing_secrets(monitor, timezone.now() + timedelta(minutes=59))
    assert still == old and new in response.content.decode() and "no-store" in response.headers["Cache-Control"]
    assert "data-copy" in response.content.decode()
    assert signing_secrets(monitor, timezone.now() + timedelta(minutes=61)) == [new]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.reason, entry.after) == ("rotate-secret", "leaked", {"overlap_seconds": 3600})
    assert new not in f"{list(LogEntry.objects.values())} {list(AuditEntry.objects.values())}"
    assert new not in admin_client.get(page(monitor)).content.decode()


def test_an_overlap_that_is_not_offered_rotates_nothing(admin_client: Client, monitor: Monitor) -> None:
    url = f"{MONITORS}{monitor.pk}/rotate_secret/"
    assert "valid choice" in admin_client.post(url, {"confirmed": "yes", "overlap_seconds": "5"}).content.decode()
    assert Monitor.objects.get().signing_secret_sealed == monitor.signing_secret_sealed


# --- the template -----------------------------------------------------------------------------------------------------


def preview(client: Client, template: str, path: str = "") -> Any:
    return client.post(f"{MONITORS}preview/", {"template": template, "template_path": path}).json()


def test_a_template_is_shown_as_it_is_sent_for_a_sample_event(admin_client: Client) -> None:
    assert preview(admin_client, '{"text": "{{ alias }} used {{ used }} of {{ quota_max }} ({{ key }})"}') == {
        "body": '{\n  "text": "Web shop used 800 of 1000 (tg_…Qz9B)"\n}'
    }
    assert '"TriggerExceeded"' in preview(admin_client, "")["body"], "empty: the default body"


@pytest.mark.parametrize(
    ("template", "path", "words"),
    [
        ('{\n  "a": "{{ trigger_limt }}"\n}', "", "Line 2: has an unknown placeholder {{ trigger_limt }}"),
        ('{\n  "a": 1,\n  "b": "{{ key"\n}', "", "Line 3: has an unclosed placeholder"),
        ('{\n  "a": 1,\n}', "", "line 3, column"),
        ("", "../settings.py", "outside the templates folder"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_with_its_line(
    admin_client: Client, template: str, path: str, words: str
) -> None:
    answer = preview(admin_client, template, path)
    assert words in answer["error"] and "body" not in answer


def test_only_who_may_see_monitors_sees_previews(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create(username="nobody", is_staff=True))
    assert client.post(f"{MONITORS}preview/", {"template": "{}"}).status_code == 403
    assert client.get(f"{MONITORS}preview/").status_code == 405


def test_every_placeholder_can_be_inserted(admin_client: Client, monitor: Monitor) -> None:
    assert f'data-template-names="{" ".join(bodies.NAMES)}"' in admin_client.get(page(monitor)).content.decode()


# --- health -----------------------------------------------------------------------------------------------------------


def test_the_page_says_how_the_deliveries_of_the_last_day_fared(
    admin_client: Client, delivery: Delivery, django_assert_max_num_queries: Any
) -> None:
    now, event = timezone.now(), delivery.event
    Delivery.objects.update(finished_at=now, attempt_count=1)
    for number in range(20):
        event.pk, event.threshold = None, f"{number}"
        event.save()
        fields = {"event": event, "channel": "webhook", "monitor": delivery.monitor, "recipient": "x"}
        finished = now - timedelta(hours=25 if number == 19 else 1)
        sent = Delivery.objects.create(**fields, status="delivered", finished_at=finished, attempt_count=1)
        Attempt.objects.create(delivery=sent, number=1, started_at=finished, duration_ms=100 + number, status_code=200)
    event.pk, event.threshold = None, "waits"
    event.save()
    Delivery.objects.create(event=event, channel="webhook", monitor=delivery.monitor, recipient="x")
    with django_assert_max_num_queries(12):
        response = admin_client.get(f"{MONITORS}{delivery.monitor_id}/change/")
    health = response.context["health"]
    assert (health.delivered, health.failed, health.waiting, health.last_error) == (19, 1, 1, "HTTP 500")
    assert health.p95_ms == 117, "of 19 between 100 and 118 ms and one of 12 ms"
    html = response.content.decode()
    assert "117 ms" in html and "HTTP 500" in html and "Delivery health" in html


def test_a_monitor_that_sent_nothing_has_no_p95(admin_client: Client, monitor: Monitor) -> None:
    assert "no attempt" in admin_client.get(page(monitor)).content.decode()


@pytest.mark.parametrize(("durations", "expected"), [([], None), ([7], 7), (list(range(1, 101)), 95), ([1, 9], 9)])
def test_p95_is_the_least_that_95_percent_do_not_exceed(durations: list[int], expected: int | None) -> None:
    assert p95(durations) == expected
