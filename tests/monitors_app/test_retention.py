"""What is forgotten in time, and what never is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from monitors_app import delivery, ledger, retention, tasks
from monitors_app.models import Attempt, Delivery, Monitor, Pacing, TriggerEvent
from tests.factories import MonitorFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def old(crossing):
    """An old event with one delivery, which is finished or not."""
    monitor = MonitorFactory.create(target_path="http://hooks.example/", event_timeout=10)

    def make(status, number=1):
        (webhook,) = ledger.record([crossing(period_start_ms=number)])
        Delivery.objects.filter(pk=webhook.pk).update(status=status)
        TriggerEvent.objects.filter(deliveries=webhook).update(occurred_at=timezone.now() - timedelta(days=91))
        Pacing.objects.get_or_create(monitor=monitor, subject="s", defaults={"last_first_attempt_at": timezone.now()})
        return webhook

    return make


@pytest.mark.parametrize("status", ["delivered", "failed", "cancelled"])
def test_old_finished_events_go_with_their_deliveries(status, old):
    old(status)
    tasks.prune()
    assert not TriggerEvent.objects.exists() and not Delivery.objects.exists()


@pytest.mark.parametrize("status", ["pending", "sending"])
def test_what_is_unfinished_stays_however_old(status, old):
    old(status)
    assert retention.prune(timezone.now()) == 0
    assert Delivery.objects.count() == 1 and TriggerEvent.objects.get().key_sealed


def test_what_is_young_stays(old):
    old("delivered")
    assert retention.prune(timezone.now() - timedelta(days=5)) == 0


def test_more_than_a_batch_is_pruned_in_one_run(old, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        old("delivered", number)
    assert retention.prune(timezone.now()) == 5


def test_a_key_that_a_dead_worker_left_behind_is_erased(crossing):
    MonitorFactory.create(target_path="http://hooks.example/")
    (webhook,) = ledger.record([crossing()])
    Delivery.objects.update(status="delivered")
    assert webhook.event.key_sealed
    tasks.sweep_deliveries()
    assert TriggerEvent.objects.get().key_sealed == ""


def test_paces_stay_only_as_long_as_they_bind(old):
    old("delivered")
    Pacing.objects.update(last_first_attempt_at=timezone.now() - timedelta(days=2))
    Pacing.objects.create(
        monitor=MonitorFactory.create(event_timeout=10**6),
        subject="s",
        last_first_attempt_at=timezone.now() - timedelta(days=2),
    )
    retention.prune(timezone.now())
    assert Pacing.objects.get().monitor.event_timeout == 10**6


# --- bodies go earlier, by settings -----------------------------------------------------------------------------------


@pytest.fixture
def sent(crossing):
    """A delivery that was finished so many days ago, with an attempt that has an answer."""
    MonitorFactory.create(target_path="http://hooks.example/")

    def make(days, status="delivered"):
        (webhook,) = ledger.record([crossing(period_start_ms=days)])
        at = timezone.now() - timedelta(days=days)
        Attempt.objects.create(delivery=webhook, number=1, started_at=at, duration_ms=1, response_body="thanks")
        finished_at = None if status == "pending" else at
        Delivery.objects.filter(pk=webhook.pk).update(status=status, finished_at=finished_at, headers_sealed="sealed")
        TriggerEvent.objects.filter(deliveries=webhook).update(occurred_at=at)
        return webhook

    return make


def kept(webhook):
    stored = Delivery.objects.get(pk=webhook.pk)
    return bool(stored.body), bool(stored.headers_sealed), bool(stored.attempts.get().response_body)


@pytest.mark.parametrize(
    ("days", "status", "expected"),
    [(31, "delivered", False), (31, "failed", False), (29, "failed", True), (31, "pending", True)],
)
def test_bodies_go_before_their_deliveries_but_never_those_that_are_still_to_be_sent(days, status, expected, sent):
    webhook = sent(days, status)
    retention.prune(timezone.now())
    assert kept(webhook) == (expected,) * 3
    assert Attempt.objects.count() == 1


@pytest.mark.parametrize(("days", "possible"), [(29, True), (31, False)])
def test_what_has_no_body_any_more_is_not_sent_again(days, possible, sent):
    webhook = sent(days, "failed")
    retention.prune(timezone.now())
    assert delivery.redeliver(webhook) is possible


def test_the_periods_are_settings(sent, settings):
    webhook = sent(3)
    settings.GATEWAY_BODIES_KEPT_DAYS, settings.GATEWAY_EVENTS_KEPT_DAYS = 2, 4
    retention.prune(timezone.now())
    assert kept(webhook) == (False,) * 3
    settings.GATEWAY_EVENTS_KEPT_DAYS = 2
    assert retention.prune(timezone.now()) == 1 and not Attempt.objects.exists()


@pytest.mark.parametrize(("status", "stays"), [("delivered", False), ("pending", True)])
def test_a_notice_stays_until_it_is_sent(status, stays):
    Delivery.objects.create(channel="email", monitor=MonitorFactory.create(), recipient="a@b.example", status=status)
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=8))
    retention.prune(timezone.now())
    assert Delivery.objects.exists() is stays


def test_a_secret_that_no_longer_overlaps_is_forgotten():
    past = timezone.now() - timedelta(seconds=1)
    MonitorFactory.create(previous_secret_sealed="sealed", previous_secret_until=past)
    retention.prune(timezone.now())
    assert (Monitor.objects.get().previous_secret_sealed, Monitor.objects.get().previous_secret_until) == ("", None)
