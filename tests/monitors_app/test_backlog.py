"""A queue that is stuck is seen: in numbers, in `/readyz`, and in `/metrics`."""

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client import generate_latest

from monitors_app import ledger, metrics
from monitors_app.backlog import backlog
from monitors_app.models import Delivery
from sessions_app.engine import names
from tests.factories import MonitorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.services]


@pytest.fixture
def now():
    return timezone.now()


def wait_in_the_outbox(store, now, seconds):
    at = round((now - timedelta(seconds=seconds)).timestamp() * 1000)
    store.xadd(names.outbox(5), {"any": "thing"}, id=f"{at}-0")


def test_nothing_waits_on_an_idle_gateway(store, now):
    found = backlog(now)
    assert (found.unrelayed, found.unrelayed_seconds, found.due, found.due_seconds) == (0, 0, 0, 0)
    assert list(found.warnings()) == []


def test_the_oldest_entry_outside_the_ledger_is_found(store, now):
    for seconds in (90, 30):
        wait_in_the_outbox(store, now, seconds)
    found = backlog(now)
    assert found.unrelayed == 2 and found.unrelayed_seconds == pytest.approx(90, abs=0.01)
    assert "2 threshold events wait for the relay, the oldest for 90 s" in next(found.warnings())


def test_deliveries_that_are_due_count_and_retries_do_not(store, now, crossing):
    MonitorFactory.create(target_path="http://hooks.example/")
    ledger.record([crossing(threshold=label) for label in ("50", "80", "90")])
    late, retried, _ = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=late.pk).update(next_attempt_at=now - timedelta(seconds=70))
    Delivery.objects.filter(pk=retried.pk).update(next_attempt_at=now + timedelta(seconds=70))
    found = backlog(now + timedelta(seconds=1))
    assert found.due == 2 and found.due_seconds == pytest.approx(71)
    assert "2 deliveries are due, the oldest for 71 s" in next(found.warnings())


def test_operators_see_it(store, now, client, monkeypatch):
    monkeypatch.setattr(metrics, "_measured_at", float("-inf"))
    wait_in_the_outbox(store, now, 100)
    answer = client.get("/readyz")
    assert answer.status_code == 200, "requests are unaffected"
    assert any("wait for the relay" in warning for warning in answer.json()["warnings"])
    metrics.measure()
    text = generate_latest().decode()
    assert "tollgate_outbox_events 1.0" in text and "tollgate_deliveries_oldest_due_seconds 0.0" in text
    assert metrics.UNRELAYED_AGE._value.get() == pytest.approx(100, abs=10)


def test_a_store_that_is_down_is_said_and_no_crash(settings, caplog, monkeypatch):
    monkeypatch.setattr(metrics, "_measured_at", float("-inf"))
    settings.GATEWAY_STORE_URL = "redis://127.0.0.1:1/0"
    metrics.measure()
    assert "the backlog cannot be measured" in caplog.text
