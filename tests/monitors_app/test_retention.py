"""What is forgotten in time, and what never is."""

from datetime import timedelta

import pytest
from django.utils import timezone

from monitors_app import ledger, retention, tasks
from monitors_app.models import Delivery, Pacing, TriggerEvent
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
    retention.prune(timezone.now())
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
