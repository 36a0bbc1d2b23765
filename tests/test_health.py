"""Liveness and readiness: ready means that store, database and migrations are."""

import threading
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings as project
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from prometheus_client import generate_latest

from gateway_project import health, health_checks, health_metrics
from gateway_project.celery_settings import beat_schedule
from gateway_project.store import free_port
from monitors_app import metrics
from sessions_app import periodic_runs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_what_the_process_knows(monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health_checks, "_broker_asked", None)
    monkeypatch.setattr(metrics, "_measured_at", float("-inf"))


@pytest.fixture
def well(monkeypatch):
    """Every task ran just now, and the broker answers."""
    monkeypatch.setattr(health_checks, "queue_lengths", lambda: {"relay": 0})
    for task in beat_schedule(project.GATEWAY_SNAPSHOT_SECONDS):
        periodic_runs.record(task, timezone.now())


def warnings_of(client) -> list[str]:
    answer = client.get("/readyz")
    assert answer.status_code == 200, "requests are unaffected"
    found: list[str] = answer.json()["warnings"]
    return found


def test_ready_when_everything_answers(client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"store": "ok", "database": "ok", "migrations": "ok"}


def test_not_ready_without_the_store_but_alive(client, settings):
    settings.GATEWAY_STORE_URL = f"redis://127.0.0.1:{free_port()}/0"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["store"] == "does not answer: ConnectionError"
    assert client.get("/healthz").status_code == 200


def test_not_ready_before_a_migration_is_applied(client):
    newest = max(name for app, name in MigrationRecorder(connection).applied_migrations() if app == "sessions_app")
    MigrationRecorder(connection).record_unapplied("sessions_app", newest)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert f"sessions_app.{newest}" in answer.json()["checks"]["migrations"]


def test_warns_of_a_store_that_evicts(client, well, store: redis.Redis):
    store.config_set("maxmemory-policy", "allkeys-lru")
    try:
        [warning] = warnings_of(client)
    finally:
        store.config_set("maxmemory-policy", "noeviction")
    assert warning.startswith("Eviction: the store's maxmemory-policy is allkeys-lru. A full store would delete")


def test_nothing_to_warn_of_when_all_is_well(client, well, store):
    assert warnings_of(client) == []


def test_warns_of_workers_that_stand_still(client, well, store):
    periodic_runs.record("monitors_app.tasks.relay_all", timezone.now() - timedelta(minutes=5))
    [warning] = warnings_of(client)
    assert warning.startswith("Workers and beat: late: relay_all. Requests are unaffected. See that beat runs")


def test_warns_of_snapshots_that_are_not_taken(client, well, store):
    periodic_runs.record(health_checks.SNAPSHOTS, timezone.now() - timedelta(minutes=5))
    assert [warning.partition(":")[0] for warning in warnings_of(client)] == ["Workers and beat", "Snapshots"]


def test_a_broker_that_hangs_is_a_warning_and_keeps_no_probe_waiting(client, well, store, monkeypatch):
    """One question is on its way, however many probes there are."""
    release, asked = threading.Event(), []

    def hang() -> dict[str, int | None]:
        asked.append(1)
        release.wait(30)
        return {}

    monkeypatch.setattr(health_checks, "PROBE_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(health_checks, "queue_lengths", hang)
    for _ in range(3):
        assert [warning.partition(".")[0] for warning in warnings_of(client)] == ["Broker: does not answer"]
    release.set()
    assert asked == [1]


def test_warns_of_what_the_home_of_the_admin_shows(client, admin_client, store, monkeypatch):
    """No part is red in one place and fine in the other; those that make a process unready are told as `checks`."""
    monkeypatch.setattr(health_checks, "PROBE_PATIENCE_SECONDS", 30)
    told = {warning.partition(":")[0] for warning in warnings_of(client)}
    shown: Any = admin_client.get("/admin/health/").context["checks"]
    assert told == {check.name for check in shown if check.state != health_checks.GOOD}
    assert told >= {"Workers and beat", "Snapshots"}


def test_a_probe_costs_four_statements(client, well, store, django_assert_num_queries):
    client.get("/readyz")
    with django_assert_num_queries(4):
        client.get("/readyz")


def test_prometheus_sees_which_part_is_not_well(well, store):
    periodic_runs.record("monitors_app.tasks.relay_all", timezone.now() - timedelta(minutes=5))
    health_metrics.measure()
    text = generate_latest().decode()
    assert 'tollgate_part_good{part="Workers and beat"} 0.0' in text
    assert 'tollgate_part_good{part="Database"} 1.0' in text and 'tollgate_part_good{part="Broker"} 1.0' in text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_answers_are_never_cached_and_only_read(client, path):
    assert "no-store" in client.get(path)["Cache-Control"]
    assert client.post(path).status_code == 405


def test_hello_needs_no_exact_slash(client):
    assert [client.get(path).json()["status"] for path in ("/hello", "/hello/")] == ["pass", "pass"]


def test_hello_answers_programs_that_post_in_tyks_words():
    answer = Client(enforce_csrf_checks=True).post("/hello")
    assert (answer.status_code, answer.json()["status"]) == (405, "error")
