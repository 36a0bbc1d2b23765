"""What tests of the admin look at: a monitor with secrets, and a delivery of its that failed."""

import pytest
from django.utils import timezone

from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from monitors_app.monitors import save_monitor
from organisations_app import sealing

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
