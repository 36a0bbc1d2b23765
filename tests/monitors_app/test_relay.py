"""From the counter function's outbox to the ledger, with a real store: nothing lost or doubled, order kept."""

import json
import threading

import pytest
from django.db import OperationalError, connection
from standardwebhooks import Webhook

from monitors_app import ledger, outbox, relay, tasks
from monitors_app.models import Delivery, TriggerEvent
from organisations_app import sealing
from policies_app.models import Api
from sessions_app import grants, keys, usage
from sessions_app.engine import check, names
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key, KeyAccess
from sessions_app.store import sync_store
from tests.factories import AcmeFactory, AppFactory, KeyFactory, MonitorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.services]
BUCKET = 17


@pytest.fixture(autouse=True)
def quiet_broker(broker):
    return broker


@pytest.fixture
def add(store, crossing):
    """Appends a crossing to a stream, as the counter function does."""

    def append(bucket=BUCKET, broken=None, **changes):
        each = crossing(**changes)
        fields = {
            "kind": each.kind, "counter": each.counter, "start": each.period_start_ms, "end": each.period_end_ms,
            "threshold": each.threshold, "own": int(each.own), "source": each.source, "used": each.used,
            "max": each.quota_max, "at": each.occurred_at_ms, "ctx": each.context,
        }  # fmt: skip
        return store.xadd(names.outbox(bucket), fields | (broken or {}))

    return append


def thresholds():
    return list(TriggerEvent.objects.order_by("pk").values_list("threshold", flat=True))


def test_entries_reach_the_ledger_in_order_and_leave_the_stream(add, store):
    for label in ("50", "75", "90"):
        add(threshold=label)
    assert relay.relay(BUCKET) == 3
    assert thresholds() == ["50", "75", "90"] and store.xlen(names.outbox(BUCKET)) == 0


def test_a_backlog_longer_than_a_batch_is_taken_over_whole(add, monkeypatch):
    monkeypatch.setattr(relay, "BATCH", 4)
    for number in range(10):
        add(period_start_ms=number)
    assert relay.relay(BUCKET) == 10 and TriggerEvent.objects.count() == 10


def test_nothing_to_do_is_one_look(store, monkeypatch):
    looks = []
    monkeypatch.setattr(outbox, "read", lambda *args: looks.append(args))
    assert relay.relay_all() == 0 and looks == []


def test_all_buckets_are_looked_at(add):
    for bucket in (0, 31, 63):
        add(bucket, period_start_ms=bucket)
    assert outbox.waiting() == [0, 31, 63]
    assert relay.relay_all() == 3 and outbox.waiting() == []


def test_a_relay_that_dies_after_the_commit_doubles_nothing(add, monkeypatch):
    MonitorFactory.create(target_path="http://hooks.example/")
    add()
    with monkeypatch.context() as patch:
        patch.setattr(outbox, "remove", lambda *args: (_ for _ in ()).throw(StoreUnavailable("killed")))
        with pytest.raises(StoreUnavailable):
            relay.relay(BUCKET)
    assert TriggerEvent.objects.count() == 1 and outbox.length(BUCKET) == 1
    assert relay.relay(BUCKET) == 1
    assert (TriggerEvent.objects.count(), Delivery.objects.count(), outbox.length(BUCKET)) == (1, 1, 0)


def test_a_relay_that_dies_before_the_commit_loses_nothing_and_keeps_the_order(add, monkeypatch):
    add(threshold="50")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "record", lambda *args: (_ for _ in ()).throw(OperationalError("database is down")))
        with pytest.raises(OperationalError):
            relay.relay(BUCKET)
    add(threshold="80")
    relay.relay(BUCKET)
    assert thresholds() == ["50", "80"]


@pytest.mark.parametrize(
    "broken",
    [
        {"start": "soon"},
        {"kind": "planet"},
        {"ctx": "not json"},
        {"ctx": "[]"},
        {"ctx": b"\xff"},
        {"used": str(10**40)},
        {"at": str(10**30)},
        {"start": str(10**18)},
        {"max": ""},
    ],
    ids=str,
)
def test_a_broken_entry_is_set_aside_and_holds_up_nobody(broken, add, store, caplog):
    MonitorFactory.create(target_path="http://hooks.example/")
    add(threshold="50")
    bad = add(threshold="75", broken=broken)
    add(threshold="90")
    relay.relay(BUCKET)
    assert thresholds() == ["50", "90"] and outbox.length(BUCKET) == 0
    assert store.xlen(outbox.broken_stream(BUCKET)) == 1
    assert "set aside" in caplog.text and bad in str([vars(record) for record in caplog.records])


def test_an_entry_without_its_fields_is_set_aside(add, store):
    store.xadd(names.outbox(BUCKET), {"what": "ever"})
    add()
    relay.relay(BUCKET)
    assert thresholds() == ["80"] and outbox.length(BUCKET) == 0


def test_somebody_elses_turn_is_respected_and_ends_by_itself(add, store):
    add()
    with outbox.turn(BUCKET) as ours:
        assert ours and relay.relay(BUCKET) == 0
        assert 0 < store.pttl(f"{names.outbox(BUCKET)}:turn") <= outbox.TURN_MS
    assert relay.relay(BUCKET) == 1


def test_what_arrives_while_the_turn_ends_is_seen(add, monkeypatch):
    """A poke that came in our turn was turned away: its entry is ours to find."""
    give_back, late = outbox._give_back, [lambda: add(threshold="90")]

    def slow(name):
        give_back(name)
        if late:
            late.pop()()

    monkeypatch.setattr(outbox, "_give_back", slow)
    add(threshold="80")
    assert relay.relay(BUCKET) == 2 and thresholds() == ["80", "90"]


@pytest.mark.django_db(transaction=True)
def test_relays_at_once_record_each_entry_once(add, monkeypatch):
    monkeypatch.setattr(relay, "BATCH", 20)
    monkeypatch.setattr(outbox, "TURN_MS", 1)
    MonitorFactory.create(target_path="http://hooks.example/")
    for number in range(200):
        add(period_start_ms=number)
    failures = []

    def run():
        try:
            relay.relay(BUCKET)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    relay.relay(BUCKET)
    assert failures == []
    assert list(TriggerEvent.objects.order_by("pk").values_list("period_start_ms", flat=True)) == list(range(200))
    assert Delivery.objects.count() == 200


def test_only_the_first_delivery_of_a_subject_is_woken_and_every_e_mail(add, broker):
    KeyFactory.create(id="key_member", application=AppFactory.create())
    MonitorFactory.create(target_path="http://hooks.example/")
    for label in ("50", "80"):
        add(threshold=label)
    relay.relay(BUCKET)
    assert len(broker.take("deliveries")) == 1 and len(broker.take("mail")) == 2


@pytest.mark.parametrize("task", [lambda: tasks.relay(BUCKET), tasks.relay_all])
def test_a_store_that_is_down_is_said_once_and_no_crash(task, settings, caplog):
    settings.GATEWAY_STORE_URL = "redis://127.0.0.1:1/0"
    task()
    assert "waits for the counter store" in caplog.text


# --- the whole chain --------------------------------------------------------------------------------------------------


class Loader:
    """The edge's, without its cache."""

    snapshots = staticmethod(usage.snapshots)

    def __init__(self, token):
        self.token = token

    def load(self, freshness):
        return grants.compile_grant(self.token, "echo")


@pytest.mark.django_db(transaction=True)
def test_a_request_that_crosses_a_threshold_arrives_at_the_receiver_and_in_the_mailbox(
    store, monitor, receiver, broker, mailoutbox, caplog
):
    app = AppFactory.create(organisation=AcmeFactory.create())
    Api.objects.create(id="echo", organisation=app.organisation, name="Echo", listen_path="/echo/")
    key = Key(organisation=app.organisation, application=app, alias="Mine", quota_max=10, quota_renewal_rate=60)
    key.trigger_limits = [80, 50]
    token = keys.create_key(key, access=[KeyAccess(api_id="echo")])
    crossed = [check.check(sync_store(), Loader(token)).crossed for _ in range(11)]
    assert crossed == [0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    tasks.relay_all()
    while messages := broker.take("deliveries") + broker.take("mail"):
        for message in messages:
            tasks.deliver(*message.args)
    assert [(arrival.document["key"], arrival.document["trigger_limit"]) for arrival in receiver.arrivals] == [
        (token, "50"), (token, "80"),
    ]  # fmt: skip
    secret = sealing.unseal(monitor.signing_secret_sealed)
    assert all(Webhook(secret).verify(arrival.body, arrival.headers) for arrival in receiver.arrivals)
    assert sorted(message.subject for message in mailoutbox) == ["50 % of quota used: Mine", "80 % of quota used: Mine"]
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}
    assert not TriggerEvent.objects.exclude(key_sealed="").exists()
    assert token not in caplog.text and token not in json.dumps([str(message.message()) for message in mailoutbox])
