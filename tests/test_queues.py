"""Celery's wiring: each task in its queue, in one queue only, and a publisher that gives up fast."""

import time

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from gateway_project.celery import app
from gateway_project.celery_settings import QUEUES, beat_schedule, broker_options, task_routes
from gateway_project.store import free_port


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("monitors_app.tasks.relay_all", "relay"),
        ("monitors_app.tasks.deliver", "deliveries"),
        ("monitors_app.tasks.sweep_deliveries", "housekeeping"),
        ("monitors_app.tasks.send_digests", "mail"),
        ("monitors_app.tasks.prune", "housekeeping"),
        ("sessions_app.tasks.snapshot_usage", "housekeeping"),
    ],
)
def test_a_task_has_its_queue(task, queue):
    assert task_routes(task) == {"queue": queue}
    assert queue in QUEUES


def test_a_task_of_someone_else_goes_to_the_default_queue():
    assert task_routes("celery.backend_cleanup") is None
    assert app.amqp.queues[app.conf.task_default_queue].name in QUEUES


def test_no_two_queues_share_a_routing_key():
    keys = [(queue.exchange.name, queue.routing_key) for queue in app.amqp.queues.values()]
    assert sorted(app.amqp.queues) == sorted(QUEUES)
    assert len(set(keys)) == len(QUEUES)


def test_periodic_runs_expire_before_the_next_is_due():
    for entry in beat_schedule(snapshot_seconds=5).values():
        assert entry["options"]["expires"] <= entry["schedule"]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_publishing_gives_up_soon_when_the_broker_is_gone(scheme, monkeypatch):
    monkeypatch.delenv("CELERY_BROKER_URL", raising=False)  # Celery itself prefers it to what it is told
    url = f"{scheme}://127.0.0.1:{free_port()}//"
    policy = app.conf.task_publish_retry_policy
    publisher = Celery("publisher", broker=url, set_as_current=False)
    publisher.conf.update(broker_transport_options=broker_options(url), broker_connection_timeout=1)
    publisher.conf.update(task_publish_retry_policy=policy)
    begin = time.monotonic()
    with pytest.raises(OperationalError):
        publisher.send_task("monitors_app.tasks.relay_all")
    assert time.monotonic() - begin < 5  # Celery's defaults try for twenty seconds and more


def test_only_json_is_accepted_and_no_result_is_kept():
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_ignore_result
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
