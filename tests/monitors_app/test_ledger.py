"""Each crossing is in the ledger once, with one delivery for each monitor and recipient."""

import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from monitors_app import ledger
from monitors_app.models import Delivery, EmailPreference, TriggerEvent
from monitors_app.monitors import save_monitor
from organisations_app.models import Organisation
from tests.factories import (
    AcmeFactory,
    AdminFactory,
    AppFactory,
    GlobexFactory,
    KeyFactory,
    MemberFactory,
    MonitorFactory,
    OutsiderFactory,
    PersonFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast():
    """Acme with its people and one key, and an outsider."""
    AdminFactory.create(), OutsiderFactory.create()
    return KeyFactory.create(id="key_member")


@pytest.fixture
def hook(cast):
    return MonitorFactory.create(target_path="http://hooks.example/a")


def recipients():
    return sorted(Delivery.objects.values_list("channel", "recipient"))


def test_the_same_entries_again_add_nothing(hook, crossing):
    batch = [crossing(), crossing(threshold="90")]
    assert len(ledger.record(batch)) == 4
    assert ledger.record(batch) == []
    assert (TriggerEvent.objects.count(), Delivery.objects.count()) == (2, 4)


def test_an_entry_twice_in_one_batch_counts_once(hook, crossing):
    ledger.record([crossing(), crossing()])
    assert TriggerEvent.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [{"threshold": "90"}, {"period_start_ms": 5}, {"source": "policy-2"}, {"counter": "tg:{b17}:c:k:other"}],
)
def test_another_threshold_period_source_or_counter_is_another_event(change, hook, crossing):
    ledger.record([crossing()])
    assert len(ledger.record([crossing(**change)])) == 2


def test_entries_known_and_new_can_be_mixed_and_keep_their_order(hook, crossing):
    ledger.record([crossing(threshold="50")])
    ledger.record([crossing(threshold=label) for label in ("50", "75", "80", "90")])
    assert list(TriggerEvent.objects.order_by("pk").values_list("threshold", flat=True)) == ["50", "75", "80", "90"]
    assert [delivery.event.threshold for delivery in Delivery.objects.filter(monitor=hook).order_by("pk")] == [
        "50", "75", "80", "90",
    ]  # fmt: skip


def test_a_monitor_made_later_hears_nothing_of_recorded_events(hook, crossing):
    ledger.record([crossing()])
    MonitorFactory.create(target_path="http://hooks.example/later")
    assert ledger.record([crossing()]) == []


def test_a_key_event_is_mailed_to_the_owner_of_its_application(hook, crossing):
    ledger.record([crossing()])
    assert recipients() == [("email", "member@example.com"), ("webhook", "http://hooks.example/a")]


def test_an_organisations_event_is_mailed_to_its_admins_and_names_no_key(hook, crossing):
    ledger.record([crossing(kind="org")])
    event = TriggerEvent.objects.get()
    assert (event.key_id, event.key_sealed, event.key_hint, event.alias) == ("", "", "", "")
    assert recipients() == [("email", "admin-of-acme@example.com"), ("webhook", "http://hooks.example/a")]
    assert set(Delivery.objects.values_list("subject", flat=True)) == {"acme"}


def test_nobody_is_mailed_who_is_inactive_without_address_or_unsubscribed(hook, crossing):
    EmailPreference.objects.create(developer=MemberFactory.create(), thresholds="off")
    AdminFactory.create(user=PersonFactory.create(username="gone", is_active=False))
    AdminFactory.create(user=PersonFactory.create(username="mute", email=""))
    ledger.record([crossing(), crossing(kind="org", counter="tg:{b17}:c:o:acme")])
    assert [recipient for channel, recipient in recipients() if channel == "email"] == ["admin-of-acme@example.com"]


@pytest.mark.parametrize("kind", ["key", "org"])
def test_people_of_an_organisation_that_is_being_deleted_are_not_mailed(kind, hook, crossing):
    """Its crossings of before may still wait in the store."""
    Organisation.objects.update(closed_at=timezone.now())
    ledger.record([crossing(kind=kind)])
    assert {channel for channel, _ in recipients()} == {"webhook"}


def test_a_key_without_application_has_nobody_to_mail(hook, crossing):
    KeyFactory.create(id="key_loose", application=None, organisation=AcmeFactory.create())
    ledger.record([crossing({"key": "key_loose"}), crossing({"key": "key_deleted"}, threshold="90")])
    assert {channel for channel, _ in recipients()} == {"webhook"}


def test_each_monitor_that_wants_it_is_told_and_no_other(cast, crossing):
    changes: dict[str, dict[str, Any]] = {
        "all": {},
        "acme": {"organisation": AcmeFactory.create()},
        "globex": {"organisation": GlobexFactory.create()},
        "off": {"is_enabled": False},
        "orgs": {"monitor_user_keys": False},
    }
    for path, fields in changes.items():
        MonitorFactory.create(target_path=f"http://hooks.example/{path}", **fields)
    ledger.record([crossing()])
    assert [recipient for channel, recipient in recipients() if channel == "webhook"] == [
        "http://hooks.example/acme", "http://hooks.example/all",
    ]  # fmt: skip


def test_with_all_monitors_off_the_event_is_recorded_and_nobody_is_told(cast, crossing):
    assert ledger.record([crossing()]) == []
    assert TriggerEvent.objects.get().key_sealed == ""


def test_a_monitor_without_target_sends_e_mails_only_and_keeps_no_key(cast, crossing):
    MonitorFactory.create()
    ledger.record([crossing()])
    assert recipients() == [("email", "member@example.com")]
    assert TriggerEvent.objects.get().key_sealed == ""


def test_target_method_and_headers_are_those_of_the_crossing(cast, crossing):
    monitor = MonitorFactory.create(target_path="http://hooks.example/then", method="PUT")
    save_monitor(monitor, header_map={"X": "then"})
    sealed = monitor.header_map_sealed
    ledger.record([crossing()])
    monitor.target_path, monitor.method = "http://hooks.example/now", "POST"
    save_monitor(monitor, header_map={"X": "now"})
    delivery = Delivery.objects.get(channel="webhook")
    assert (delivery.recipient, delivery.method, delivery.headers_sealed) == (
        "http://hooks.example/then",
        "PUT",
        sealed,
    )


def test_a_template_that_broke_after_it_was_saved_does_not_lose_the_event(cast, crossing, caplog):
    MonitorFactory.create(target_path="http://hooks.example/", template_path="gone.json")
    ledger.record([crossing()])
    assert '"TriggerExceeded"' in Delivery.objects.get(channel="webhook").body
    assert "default body" in caplog.text


def test_an_entry_that_came_again_after_a_later_one_keeps_its_place(hook, crossing):
    ledger.record([crossing(threshold="50", used=5), crossing(threshold="80"), crossing(threshold="50", used=9)])
    assert list(TriggerEvent.objects.order_by("pk").values_list("threshold", "used")) == [("50", 5), ("80", 8)]


@pytest.mark.parametrize("change", [{"kind": "planet"}, {"context": b"[]"}, {"context": b"{}"}, {"context": b"\xff{"}])
def test_a_crossing_that_makes_no_sense_is_refused_with_its_whole_batch(change, hook, crossing):
    with pytest.raises((KeyError, ValueError, TypeError)):
        ledger.record([crossing(threshold="50"), replace(crossing(), **change)])
    assert not TriggerEvent.objects.exists()


def test_a_batch_needs_a_handful_of_queries(hook, crossing, django_assert_max_num_queries):
    batch = [crossing(period_start_ms=number) for number in range(12)]
    batch += [crossing(kind="org", period_start_ms=1000 + number) for number in range(12)]
    with django_assert_max_num_queries(10):
        assert len(ledger.record(batch)) == 48


@pytest.mark.django_db(transaction=True)
def test_relays_that_record_the_same_entries_at_once_record_them_once(crossing):
    AppFactory.create()
    KeyFactory.create(id="key_member")
    MonitorFactory.create(target_path="http://hooks.example/a")
    batch = [crossing(period_start_ms=number) for number in range(100)]
    failures = []

    def record():
        try:
            ledger.record(batch)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=record) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert TriggerEvent.objects.count() == 100
    assert set(Counter(Delivery.objects.values_list("event", "channel")).values()) == {1}
    assert Delivery.objects.count() == 200
