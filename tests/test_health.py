"""Liveness and readiness: ready means that store, database and migrations are."""

import pytest
import redis
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from gateway_project import health
from gateway_project.store import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_that_migrations_are_applied(monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)


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


def test_warns_of_a_store_that_evicts(client, store: redis.Redis):
    store.config_set("maxmemory-policy", "allkeys-lru")
    try:
        answer = client.get("/readyz")
    finally:
        store.config_set("maxmemory-policy", "noeviction")
    assert answer.status_code == 200
    assert answer.json()["warnings"] == ["the store's maxmemory-policy is allkeys-lru: eviction deletes counters"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_answers_are_never_cached_and_only_read(client, path):
    assert "no-store" in client.get(path)["Cache-Control"]
    assert client.post(path).status_code == 405


def test_hello_needs_no_exact_slash(client):
    assert [client.get(path).json()["status"] for path in ("/hello", "/hello/")] == ["pass", "pass"]


def test_hello_answers_programs_that_post_in_tyks_words():
    answer = Client(enforce_csrf_checks=True).post("/hello")
    assert (answer.status_code, answer.json()["status"]) == (405, "error")
