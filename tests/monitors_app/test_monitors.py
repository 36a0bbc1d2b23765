"""Saving monitors: what is refused, what is sealed and masked, and what switching on and off does."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from standardwebhooks import Webhook

from monitors_app import monitors, signing, webhooks
from monitors_app.models import Delivery, Monitor
from monitors_app.monitors import MASK, save_monitor
from organisations_app import sealing, versions
from organisations_app.audit import SYSTEM
from tests import factories

pytestmark = pytest.mark.django_db


def gateway_version():
    return versions.numbers([versions.GATEWAY])[versions.GATEWAY]


def test_there_is_one_gateway_monitor_and_it_begins_switched_off():
    first = monitors.gateway_monitor()
    assert (first, first.is_enabled) == (monitors.gateway_monitor(), False)
    assert Monitor.objects.count() == 1


def test_saving_takes_effect_with_the_next_request():
    before = gateway_version()
    save_monitor(Monitor(name="New"))
    assert gateway_version() == before + 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", " ", "1 to 200"),
        ("method", "HEAD", "GET, POST, PUT, PATCH, DELETE"),
        ("method", "post", "GET, POST"),
        ("method", None, "GET, POST"),
        ("event_timeout", -1, "from 0"),
        ("event_timeout", float("nan"), "from 0"),
        ("event_timeout", "10", "from 0"),
        ("event_timeout", True, "from 0"),
        ("global_trigger_limit", -5, "above 0 and at most 100"),
        ("global_trigger_limit", 100.5, "at most 100"),
        ("global_trigger_limit", float("inf"), "at most 100"),
        ("key_format", "base64", "raw, masked, hash, id"),
        ("is_enabled", "yes", "true or false"),
        ("monitor_user_keys", 1, "true or false"),
        ("template", '{"a": "{{ what }}"}', "what"),
        ("template", "{", "line 1"),
        ("template", 7, "text"),
        ("template_path", "../settings.py", "templates folder"),
        ("template_path", "no-such-file.json", "templates folder"),
        ("target_path", "hooks.example/quota", "absolute URL"),
        ("target_path", "ftp://hooks.example/", "absolute URL"),
        ("target_path", "http://", "absolute URL"),
        ("target_path", "http://user:secret@hooks.example/", "without user"),
        ("target_path", "http://@hooks.example/", "without user"),
        ("target_path", "http://hooks.example:99999/", "absolute URL"),
        ("target_path", "http://hooks.example:0/", "absolute URL"),
        ("target_path", "http://hooks.example\\@evil.example/", "backslashes"),
        ("target_path", "http://hooks.example/a b", "spaces"),
        ("target_path", "http://hooks.example/\r\nX: y", "control characters"),
        ("target_path", "http://[::1/", "absolute URL"),
        ("target_path", "http://" + "a" * 70 + ".example/", "absolute URL"),
        ("target_path", "http://hooks.example/" + "a" * 1000, "1000"),
        ("target_path", None, "URL"),
    ],
)
def test_refuses_with_a_message_under_the_fields_name_and_saves_nothing(field, value, words):
    before = gateway_version()
    with pytest.raises(ValidationError) as refused:
        save_monitor(Monitor(**({"name": "M"} | {field: value})))
    assert words in refused.value.message_dict[field][0]
    assert not Monitor.objects.exists() and gateway_version() == before


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:9000/x?y=z", "https://hooks.example", "https://bücher.example/ü"]
)
def test_takes_absolute_targets_or_none(url):
    save_monitor(Monitor(name="M", target_path=url))
    assert Monitor.objects.get().target_path == url


# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ([["a", "b"]], "object"),
        ("x: y", "object"),
        ({"Host": "evil"}, "Host"),
        ({"content-length": "1"}, "content-length"),
        ({"Transfer-Encoding": "chunked"}, "Transfer-Encoding"),
        ({"connection": "close"}, "connection"),
        ({"Webhook-Id": "msg"}, "Webhook-Id"),
        ({"webhook-signature": "v1,"}, "webhook-signature"),
        ({"Proxy-Authorization": "x"}, "Proxy-Authorization"),
        ({"X A": "y"}, "no header name"),
        ({"X\r\nY": "y"}, "no header name"),
        ({"": "y"}, "no header name"),
        ({"X:": "y"}, "no header name"),
        ({"Ü": "y"}, "no header name"),
        ({7: "y"}, "no header name"),
        ({"X": 7}, "text"),
        ({"X": None}, "text"),
        ({"X": "a\r\nHost: evil"}, "line break"),
        ({"X": "a\x00"}, "control character"),
        ({"X": "a" * 9000}, "8000"),
        ({"x": "1", "X": "2"}, "twice"),
        ({"X": MASK}, "no stored value"),
        ({f"x{number}": "y" for number in range(51)}, "at most 50"),
    ],
)
def test_refuses_headers_that_would_break_the_request(headers, words):
    with pytest.raises(ValidationError) as refused:
        save_monitor(Monitor(name="M"), header_map=headers)
    assert words in refused.value.message_dict["header_map"][0]
    assert not Monitor.objects.exists()


def test_header_values_are_sealed_at_rest_and_masked_for_every_reader():
    monitor = Monitor(name="M")
    save_monitor(monitor, header_map={"X-Secret": "open sesame"})
    monitor.refresh_from_db()
    assert "open sesame" not in str(vars(monitor))
    assert monitors.masked_header_map(monitor) == {"X-Secret": MASK}
    assert monitors.header_map(monitor) == {"X-Secret": "open sesame"}


def test_writing_the_mask_back_keeps_the_stored_value():
    monitor = Monitor(name="M")
    save_monitor(monitor, header_map={"X-Secret": "one", "X-Other": "two"})
    save_monitor(monitor, header_map={"x-secret": MASK, "X-New": "three"})
    assert monitors.header_map(monitor) == {"x-secret": "one", "X-New": "three"}
    save_monitor(monitor)
    assert monitors.header_map(monitor) == {"x-secret": "one", "X-New": "three"}
    save_monitor(monitor, header_map={})
    assert monitors.header_map(monitor) == {}


# --- the signing secret -----------------------------------------------------------------------------------------------


def test_a_signing_secret_is_generated_once_and_shown_once():
    monitor = Monitor(name="M")
    secret = save_monitor(monitor)
    assert secret and signing.secret_error(secret) == ""
    assert save_monitor(monitor) is None
    assert secret not in str(vars(monitor))
    assert sealing.unseal(monitor.signing_secret_sealed) == secret


def test_a_signing_secret_can_be_written_and_its_mask_keeps_it():
    monitor, secret = Monitor(name="M"), signing.new_secret()
    assert save_monitor(monitor, signing_secret=secret) is None
    assert save_monitor(monitor, signing_secret=MASK) is None
    assert sealing.unseal(monitor.signing_secret_sealed) == secret


def test_refuses_a_signing_secret_of_another_shape():
    with pytest.raises(ValidationError) as refused:
        save_monitor(Monitor(name="M"), signing_secret="hunter2")
    assert "whsec_" in refused.value.message_dict["signing_secret"][0]


# --- on and off -------------------------------------------------------------------------------------------------------


def pending(monitor):
    return Delivery.objects.create(
        channel="webhook", monitor=monitor, recipient="http://x", subject="s", next_attempt_at=timezone.now()
    )


def test_switching_off_cancels_what_waits_so_that_it_is_not_sent_later():
    monitor = factories.MonitorFactory.create()
    delivery, before = pending(monitor), gateway_version()
    assert monitors.switch_off(monitor.pk, "gone") and not monitors.switch_off(monitor.pk, "again")
    monitor.refresh_from_db()
    delivery.refresh_from_db()
    assert (monitor.is_enabled, monitor.disabled_reason, delivery.status) == (False, "gone", "cancelled")
    assert gateway_version() == before + 1


def test_switching_off_by_hand_cancels_too_and_leaves_other_monitors_alone():
    monitor, other = factories.MonitorFactory.create(), factories.MonitorFactory.create()
    mine, theirs = pending(monitor), pending(other)
    monitor.is_enabled = False
    save_monitor(monitor)
    mine.refresh_from_db()
    theirs.refresh_from_db()
    assert (mine.status, theirs.status) == ("cancelled", "pending")


def test_switching_on_again_forgets_the_failures():
    failing = factories.MonitorFactory.create(failures_in_row=9, failing_since=timezone.now() - timedelta(days=9))
    monitors.switch_off(failing.pk, "failed")
    monitor = Monitor.objects.get()
    monitor.is_enabled = True
    save_monitor(monitor)
    monitor.refresh_from_db()
    assert (monitor.failures_in_row, monitor.failing_since, monitor.disabled_reason) == (0, None, "")


def test_an_edit_does_not_undo_what_deliveries_counted_meanwhile():
    edited = factories.MonitorFactory.create()
    Monitor.objects.update(failures_in_row=3, failing_since=timezone.now())
    edited.name = "Renamed"
    save_monitor(edited)
    assert (Monitor.objects.get().failures_in_row, Monitor.objects.get().name) == (3, "Renamed")


def test_the_gateways_own_monitor_cannot_be_deleted():
    with pytest.raises(ValidationError, match="switch it off"):
        monitors.delete_monitor(monitors.gateway_monitor(), SYSTEM)
    other = factories.MonitorFactory.create()
    before = gateway_version()
    monitors.delete_monitor(other, SYSTEM)
    assert Monitor.objects.count() == 1 and gateway_version() == before + 1


# --- rotating the signing secret --------------------------------------------------------------------------------------


def test_while_secrets_overlap_a_webhook_carries_both_signatures():
    monitor = Monitor(name="M", target_path="https://hooks.example/")
    old = save_monitor(monitor)
    new = monitors.rotate_secret(monitor, overlap_seconds=60)
    now = timezone.now()
    assert new != old and monitors.signing_secrets(Monitor.objects.get(pk=monitor.pk), now) == [new, old]
    request = webhooks.webhook_of(Delivery(monitor=monitor, method="POST", body="{}", message_id="msg_1"), now)
    for secret in filter(None, (old, new)):
        assert Webhook(secret).verify(request.body, dict(request.headers)) == {}
    assert monitors.signing_secrets(monitor, now + timedelta(seconds=61)) == [new]


def test_a_second_rotation_ends_the_oldest_secret_and_none_may_overlap():
    monitor = Monitor(name="M")
    save_monitor(monitor)
    second, third = monitors.rotate_secret(monitor), monitors.rotate_secret(monitor)
    assert monitors.signing_secrets(monitor, timezone.now()) == [third, second]
    fourth = monitors.rotate_secret(monitor, overlap_seconds=0)
    assert monitors.signing_secrets(monitor, timezone.now()) == [fourth]


def test_a_secret_that_somebody_writes_replaces_all_at_once():
    monitor = Monitor(name="M")
    save_monitor(monitor)
    monitors.rotate_secret(monitor)
    written = signing.new_secret()
    save_monitor(monitor, signing_secret=written)
    assert monitors.signing_secrets(Monitor.objects.get(), timezone.now()) == [written]


@pytest.mark.parametrize("seconds", [-1, 30 * 24 * 3600 + 1])
def test_an_overlap_that_is_no_overlap_is_refused(seconds):
    monitor = Monitor(name="M")
    save_monitor(monitor)
    with pytest.raises(ValidationError, match="from 0 to 2592000"):
        monitors.rotate_secret(monitor, seconds)
