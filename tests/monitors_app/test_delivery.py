"""Deliveries: whose turn it is, what an attempt leads to, and that nothing is lost or doubled when a worker dies."""

from datetime import timedelta

import pytest
from django.utils import timezone
from standardwebhooks import Webhook

from monitors_app import attempts, claims, delivery, ledger, sending, transports
from monitors_app.models import Attempt, Delivery, EmailPreference, Monitor, Pacing, TriggerEvent
from monitors_app.monitors import save_monitor, switch_off
from organisations_app import sealing
from tests.factories import AcmeFactory, KeyFactory, MonitorFactory
from tests.monitors_app.conftest import RAW_KEY

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet_broker(broker):
    return broker


@pytest.fixture
def record(crossing, monitor):
    """Records crossings with these thresholds and returns their webhooks."""

    def make(*labels, **changes):
        AcmeFactory.create()
        new = ledger.record([crossing(threshold=label, **changes) for label in labels])
        return [each for each in new if each.channel == "webhook"]

    return make


@pytest.fixture
def no_stint(monkeypatch):
    """A worker that passes on what waits for the same target after one delivery."""
    monkeypatch.setattr(delivery, "STINT_SECONDS", 0)
    monkeypatch.setattr(claims, "MAX_PER_TARGET", 1)


def fresh(row):
    return type(row).objects.get(pk=row.pk)


def make_due(row):
    Delivery.objects.filter(pk=row.pk).update(next_attempt_at=timezone.now())


# --- one attempt ------------------------------------------------------------------------------------------------------


def test_delivers_the_documented_body_signed_and_logs_the_attempt(record, monitor, receiver):
    secret = sealing.unseal(monitor.signing_secret_sealed)
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    arrival, stored, attempt = receiver.arrivals[0], fresh(webhook), Attempt.objects.get()
    assert arrival.document == {
        "event": "TriggerExceeded",
        "message": "Quota trigger reached",
        "org": "acme",
        "key": RAW_KEY,
        "trigger_limit": "80",
    }
    assert Webhook(secret).verify(arrival.body, arrival.headers)
    assert arrival.headers["webhook-id"] == webhook.message_id
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["user-agent"].startswith("Tollgate/")
    assert (stored.status, stored.attempt_count, stored.claimed_until) == ("delivered", 1, None)
    assert (attempt.number, attempt.status_code, attempt.error) == (1, 200, "")


def test_a_configured_header_replaces_ours_of_the_same_name_but_not_the_signature(record, monitor, receiver):
    save_monitor(monitor, header_map={"user-agent": "Mine/1", "X-Secret": "ü"})
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    assert receiver.arrivals[0].headers["user-agent"] == "Mine/1"
    assert receiver.arrivals[0].headers["webhook-id"] == webhook.message_id


@pytest.mark.parametrize(
    ("key_format", "shown"), [("raw", RAW_KEY), ("masked", "tg_…ound"), ("hash", "d" * 64), ("id", "key_member")]
)
def test_the_key_is_shown_as_the_monitor_wants_it(key_format, shown, record, monitor, receiver):
    Monitor.objects.update(key_format=key_format)
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    assert receiver.arrivals[0].document["key"] == shown


def test_an_organisations_event_has_an_empty_key(record, receiver):
    (webhook,) = record("80", kind="org")
    delivery.deliver(webhook.pk)
    assert receiver.arrivals[0].document["key"] == ""


def test_what_is_delivered_is_not_delivered_again(record, receiver):
    (webhook,) = record("80")
    for _ in range(3):
        delivery.deliver(webhook.pk)
    assert len(receiver.arrivals) == 1


def test_a_delivery_that_does_not_exist_is_no_error():
    delivery.deliver(12345)


# --- retries ----------------------------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_with_the_same_id_and_body_until_it_is_delivered(record, receiver, broker):
    receiver.answers = [500, 200]
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    stored, (message,) = fresh(webhook), broker.take("deliveries")
    assert stored.status == "pending" and Attempt.objects.get().error.startswith("The receiver answered 500")
    assert 3.5 < (stored.next_attempt_at - timezone.now()).total_seconds() < 6
    assert message.args == [webhook.pk] and 3.5 < message.wait_seconds < 6.1
    delivery.deliver(webhook.pk)
    assert len(receiver.arrivals) == 1, "not before it is due"
    make_due(webhook)
    delivery.deliver(webhook.pk)
    first, second = receiver.arrivals
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    assert fresh(webhook).status == "delivered"
    assert list(Attempt.objects.values_list("number", "status_code")) == [(1, 500), (2, 200)]


def test_long_waits_stay_in_the_database(record, receiver, broker):
    receiver.answers = [500]
    (webhook,) = record("80")
    Delivery.objects.update(attempt_count=3, round_attempts=3)
    delivery.deliver(webhook.pk)
    assert 1440 <= (fresh(webhook).next_attempt_at - timezone.now()).total_seconds() + 1 <= 2161
    assert broker.take("deliveries") == []


def test_retry_after_is_honoured(record, receiver):
    receiver.answers = [(429, {"Retry-After": "3000"}, b"")]
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    assert (fresh(webhook).next_attempt_at - timezone.now()).total_seconds() == pytest.approx(3000, abs=5)


def test_after_the_last_attempt_it_is_failed_and_can_be_delivered_again_by_hand(
    record, receiver, broker, django_capture_on_commit_callbacks
):
    receiver.answers = [500] * 9
    (webhook,) = record("80")
    for _ in range(8):
        make_due(webhook)
        delivery.deliver(webhook.pk)
    stored = fresh(webhook)
    assert (stored.status, stored.attempt_count, stored.next_attempt_at) == ("failed", 8, None)
    broker.clear()
    with django_capture_on_commit_callbacks(execute=True):
        assert delivery.redeliver(stored)
    (message,) = broker.take("deliveries")
    delivery.deliver(*message.args)
    assert fresh(webhook).status == "pending", "the whole schedule begins anew"
    assert not delivery.redeliver(fresh(webhook)), "what is open is not started twice"
    make_due(webhook)
    delivery.deliver(webhook.pk)
    assert (fresh(webhook).status, fresh(webhook).attempt_count) == ("delivered", 10)
    assert len({arrival.headers["webhook-id"] for arrival in receiver.arrivals}) == 1


def test_an_answer_that_echoes_the_key_or_a_header_is_stored_without_them(record, monitor, receiver):
    save_monitor(monitor, header_map={"X-Secret": "open-sesame"})
    receiver.answers = [lambda arrival: (500, {}, arrival.body + arrival.headers["x-secret"].encode())]
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    body = Attempt.objects.get().response_body
    assert body.count(sending.HIDDEN) == 2 and "canary" not in body and "sesame" not in body


def test_headers_that_cannot_be_unsealed_fail_with_a_reason_and_nothing_is_sent(record, monitor, receiver):
    save_monitor(monitor, header_map={"X": "y"})
    (webhook,) = record("80")
    Delivery.objects.update(headers_sealed="gAAAAA-broken")
    delivery.deliver(webhook.pk)
    assert "SECRET_KEY" in Attempt.objects.get().error and receiver.arrivals == []


# --- the raw key ------------------------------------------------------------------------------------------------------


def test_the_sealed_key_is_erased_once_every_delivery_of_the_event_is_finished(crossing, monitor, receiver, no_stint):
    second = MonitorFactory.create(name="Second", target_path=receiver.url)
    one, two = ledger.record([crossing()])
    assert RAW_KEY not in TriggerEvent.objects.get().key_sealed
    delivery.deliver(one.pk)
    assert TriggerEvent.objects.get().key_sealed
    receiver.answers = [410]
    delivery.deliver(two.pk)
    assert fresh(two).status == "failed" and not fresh(second).is_enabled
    assert TriggerEvent.objects.get().key_sealed == ""


def test_redelivery_after_erasure_sends_the_key_masked(record, receiver):
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    delivery.redeliver(fresh(webhook))
    delivery.deliver(webhook.pk)
    assert [arrival.document["key"] for arrival in receiver.arrivals] == [RAW_KEY, "tg_…ound"]


def test_a_key_sealed_with_a_secret_that_is_gone_is_sent_masked(record, receiver, caplog):
    (webhook,) = record("80")
    TriggerEvent.objects.update(key_sealed="gAAAAA-broken")
    delivery.deliver(webhook.pk)
    assert receiver.arrivals[0].document["key"] == "tg_…ound" and "masked" in caplog.text


# --- claims -----------------------------------------------------------------------------------------------------------


def claim(webhook, now=None):
    """This delivery, or None if it is not to be had."""
    batch = claims.claim_for(webhook.target, now or timezone.now())
    return next((each for each in batch.deliveries if each.pk == webhook.pk), None)


def test_only_one_worker_gets_a_delivery(record):
    (webhook,) = record("80")
    assert claim(webhook) == webhook
    assert claim(webhook) is None


def test_a_delivery_whose_worker_died_is_taken_again_after_its_lease(record, receiver):
    (webhook,) = record("80")
    now = timezone.now()
    dead = claim(webhook, now)
    assert dead is not None
    assert claims.take_due(now + claims.LEASE - timedelta(seconds=1)) == []
    later = now + claims.LEASE + timedelta(seconds=1)
    assert claims.take_due(later) == [(webhook.pk, "webhook")]
    assert claim(webhook, later) is not None
    result = sending.send(dead)
    assert attempts.record([(dead, result)]) == [None], "the one that came back late decides nothing"
    assert not Attempt.objects.exists() and fresh(webhook).status == "sending"


def keys_events(crossing, count):
    """Webhooks of one crossing of as many keys."""
    return ledger.record([crossing({"key": f"key_{number}"}, counter=f"counter-{number}") for number in range(count)])


def test_a_target_has_few_places_over_all_workers(crossing, monitor):
    keys_events(crossing, 10)
    now = timezone.now()
    target = Delivery.objects.values_list("target", flat=True)[0]
    first = claims.claim_for(target, now)
    assert (len(first.deliveries), first.places) == (3, 3)
    assert claims.claim_for(target, now).deliveries == ()
    claims.release(first.deliveries[:1])
    second = claims.claim_for(target, now, at_most=20)
    assert (len(second.deliveries), second.places) == (8, 1), "more may be claimed than is sent at once"
    assert second.deliveries[0] == first.deliveries[0], "the oldest first"


def test_a_wake_up_for_one_delivery_goes_on_with_all_of_its_target(crossing, monitor, receiver):
    webhooks = keys_events(crossing, 30)
    delivery.deliver(webhooks[-1].pk)
    assert len(receiver.arrivals) == 30
    assert set(Delivery.objects.values_list("status", "attempt_count")) == {("delivered", 1)}
    assert sorted(arrival.headers["webhook-id"] for arrival in receiver.arrivals) == sorted(
        Delivery.objects.values_list("message_id", flat=True)
    )


def test_a_queue_costs_few_statements_each(crossing, monitor, receiver, django_assert_max_num_queries, monkeypatch):
    monkeypatch.setattr(delivery, "STINT_SECONDS", 60)
    monkeypatch.setattr(delivery, "LINGER_SECONDS", 60)
    webhooks = keys_events(crossing, 60)
    with django_assert_max_num_queries(2 * 60):
        delivery.deliver(webhooks[0].pk)
    assert len(receiver.arrivals) == 60


def test_answers_of_one_moment_are_recorded_each_as_it_was(crossing, monitor, receiver):
    receiver.answers = [200, 500, 200, 404]
    webhooks = keys_events(crossing, 4)
    delivery.deliver(webhooks[0].pk)
    assert list(Attempt.objects.order_by("status_code").values_list("status_code", flat=True)) == [200, 200, 404, 500]
    for attempt in Attempt.objects.select_related("delivery"):
        assert attempt.delivery.status == ("delivered" if attempt.status_code == 200 else "pending")
        assert attempt.delivery.first_attempt_at == attempt.started_at


def test_the_sweep_wakes_what_was_lost_and_leaves_it_alone_for_a_while(record, broker):
    (webhook,) = record("80")
    assert delivery.sweep() == 0, "its wake-up call is under way"
    Delivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=10))
    assert (delivery.sweep(), delivery.sweep()) == (1, 0)
    (message,) = broker.take("deliveries")
    delivery.deliver(*message.args)
    assert fresh(webhook).status == "delivered"


def test_the_sweep_finds_deliveries_of_dead_workers_but_none_that_are_being_sent(record, broker):
    first, second = record("80")[0], record("80", counter="other")[0]
    now = timezone.now()
    Delivery.objects.filter(pk=first.pk).update(status="sending", claimed_until=now - timedelta(seconds=1))
    Delivery.objects.filter(pk=second.pk).update(status="sending", claimed_until=now + timedelta(seconds=30))
    assert delivery.sweep() == 1
    assert broker.take("deliveries")[0].args == [first.pk]
    assert (fresh(first).status, fresh(second).status) == ("pending", "sending")


def test_a_broker_that_is_down_is_no_error_and_the_sweep_makes_it_good(record, broker, settings, monkeypatch):
    (webhook,) = record("80")

    def refuse(*args, **kwargs):
        raise ConnectionRefusedError("broker is down")

    with monkeypatch.context() as patch:
        patch.setattr("celery.app.amqp.AMQP.send_task_message", property(lambda amqp: refuse))
        Delivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=10))
        delivery.sweep()
    assert broker.take("deliveries") == []
    Delivery.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    delivery.sweep()
    assert [message.args for message in broker.take("deliveries")] == [[webhook.pk]]


# --- order and pace ---------------------------------------------------------------------------------------------------


def test_a_later_event_waits_for_the_first_attempt_of_an_earlier_one_and_is_woken_by_it(
    record, receiver, broker, no_stint
):
    receiver.answers = [500]
    first, second = record("50", "80")
    delivery.deliver(second.pk)
    assert [arrival.document["trigger_limit"] for arrival in receiver.arrivals] == ["50"]
    assert fresh(second).status == "pending"
    woken = [message.args[0] for message in broker.take("deliveries")]
    assert second.pk in woken
    delivery.deliver(second.pk)
    assert [arrival.document["trigger_limit"] for arrival in receiver.arrivals] == ["50", "80"], (
        "a retry holds up nobody"
    )
    assert (fresh(first).status, fresh(second).status) == ("pending", "delivered")


def test_other_subjects_and_other_monitors_are_not_held_up(record, crossing, receiver):
    (under_way,) = record("50")
    assert claim(under_way) is not None
    (later,) = record("80")
    other_key = ledger.record([crossing({"key": "key_other"}, counter="other")])
    MonitorFactory.create(name="Other", target_path=receiver.url)
    other_monitor = ledger.record([crossing({"key": "key_third"}, counter="third")])
    delivery.deliver(later.pk)
    sent = {arrival.headers["webhook-id"] for arrival in receiver.arrivals}
    assert sent == {each.message_id for each in (*other_key, *other_monitor)}


def test_event_timeout_holds_the_next_webhook_about_the_same_subject(record, monitor, receiver, broker):
    Monitor.objects.update(event_timeout=20)
    first, second = record("50", "80")
    delivery.deliver(first.pk)
    (message,) = broker.take("deliveries")
    assert message.args == [second.pk] and 19 < message.wait_seconds <= 20
    delivery.deliver(second.pk)
    held = fresh(second)
    assert len(receiver.arrivals) == 1 and held.status == "pending" and held.claimed_until is None
    assert 18 < (held.next_attempt_at - timezone.now()).total_seconds() <= 20
    Pacing.objects.update(last_first_attempt_at=timezone.now() - timedelta(seconds=20))
    make_due(second)
    delivery.deliver(second.pk)
    assert [arrival.document["trigger_limit"] for arrival in receiver.arrivals] == ["50", "80"]


def test_the_gap_counts_between_first_attempts_so_retries_neither_wait_nor_delay(record, receiver):
    Monitor.objects.update(event_timeout=20)
    receiver.answers = [500]
    first, second = record("50", "80")
    delivery.deliver(first.pk)
    pace = Pacing.objects.get().last_first_attempt_at
    make_due(first)
    delivery.deliver(first.pk)
    assert fresh(first).status == "delivered" and Pacing.objects.get().last_first_attempt_at == pace
    assert fresh(second).status == "pending"


def test_event_timeout_does_not_hold_other_subjects(record, crossing, receiver):
    Monitor.objects.update(event_timeout=3600)
    for each in (*record("50"), *ledger.record([crossing({"key": "key_other"}, counter="other")])):
        delivery.deliver(each.pk)
    assert len(receiver.arrivals) == 2


def test_a_long_event_timeout_is_waited_for_in_the_database(record, broker):
    Monitor.objects.update(event_timeout=3600)
    first, second = record("50", "80")
    delivery.deliver(first.pk)
    Delivery.objects.filter(pk=second.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=10))
    assert broker.take("deliveries") == [] and delivery.sweep() == 1
    delivery.deliver(second.pk)
    broker.clear()
    assert delivery.sweep() == 0 and fresh(second).next_attempt_at > timezone.now() + timedelta(seconds=3590)


def test_the_sweep_leaves_those_alone_whose_turn_it_is_not(record, broker):
    first, _, _ = record("50", "80", "90")
    Delivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=10))
    assert delivery.sweep() == 1
    assert [message.args for message in broker.take("deliveries")] == [[first.pk]]


# --- the end of a monitor ---------------------------------------------------------------------------------------------


def test_410_switches_the_monitor_off_and_cancels_what_waits_for_it(record, monitor, receiver, broker):
    receiver.answers = [410]
    first, second = record("50", "80")
    delivery.deliver(first.pk)
    assert (fresh(first).status, fresh(second).status) == ("failed", "cancelled")
    assert not fresh(monitor).is_enabled and "410" in fresh(monitor).disabled_reason
    monitor = fresh(monitor)
    monitor.is_enabled = True
    save_monitor(monitor)
    delivery.deliver(second.pk)
    assert len(receiver.arrivals) == 1, "nothing that fell in between is sent later"


def test_410_stops_what_was_claimed_with_it(crossing, monitor, receiver, monkeypatch):
    monkeypatch.setattr(claims, "MAX_PER_TARGET", 1)
    webhooks = keys_events(crossing, 10)
    receiver.answers = [200, 200, 410]
    delivery.deliver(webhooks[0].pk)
    assert len(receiver.arrivals) == 3
    assert [fresh(each).status for each in webhooks] == ["delivered", "delivered", "failed", *["cancelled"] * 7]


def test_a_monitor_that_is_off_sends_nothing_that_was_recorded_just_before(record, monitor, receiver):
    (webhook,) = record("80")
    Monitor.objects.update(is_enabled=False)
    delivery.deliver(webhook.pk)
    assert receiver.arrivals == [] and fresh(webhook).status == "cancelled"


def test_a_failure_that_comes_back_after_the_switching_off_is_not_tried_again(record, monitor, receiver):
    (webhook,) = record("80")
    claimed = claim(webhook)
    assert claimed is not None
    receiver.answers = [500]
    result = sending.send(claimed)
    switch_off(monitor.pk, "meanwhile")
    (outcome,) = attempts.record([(claimed, result)])
    assert outcome is not None and outcome.status == "cancelled"


@pytest.mark.parametrize(
    ("failures", "days", "stays"), [(9, 5.1, False), (9, 4.9, True), (8, 30, True), (50, 0.1, True)]
)
def test_a_monitor_is_switched_off_after_ten_failures_in_a_row_over_five_days(
    failures, days, stays, record, monitor, receiver
):
    Monitor.objects.update(failures_in_row=failures, failing_since=timezone.now() - timedelta(days=days))
    receiver.answers = [500]
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    assert fresh(monitor).is_enabled is stays
    assert fresh(monitor).failures_in_row == failures + 1


def test_a_success_ends_the_row_of_failures(record, monitor):
    Monitor.objects.update(failures_in_row=30, failing_since=timezone.now())
    (webhook,) = record("80")
    delivery.deliver(webhook.pk)
    assert (fresh(monitor).failures_in_row, fresh(monitor).failing_since) == (0, None)


# --- e-mails ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mail(crossing, monitor, mailoutbox):
    KeyFactory.create(id="key_member")
    return next(each for each in ledger.record([crossing()]) if each.channel == "email")


def test_an_e_mail_is_sent_once_to_its_recipient(mail, mailoutbox):
    for _ in range(2):
        delivery.deliver(mail.pk)
    assert [message.to for message in mailoutbox] == [["member@example.com"]]
    assert fresh(mail).status == "delivered" and Attempt.objects.count() == 1


def test_an_e_mail_that_the_server_does_not_take_is_tried_again(mail, broker, monkeypatch):
    def refuse(letter):
        raise transports.TransportError("The mail server answered 451.")

    monkeypatch.setattr(transports, "send", refuse)
    delivery.deliver(mail.pk)
    assert fresh(mail).status == "pending"
    assert [message.args for message in broker.take("mail")] == [[mail.pk]]


def test_who_unsubscribes_while_an_e_mail_waits_does_not_get_it(mail, mailoutbox):
    EmailPreference.objects.create(developer=mail.developer, thresholds="off")
    delivery.deliver(mail.pk)
    assert mailoutbox == [] and fresh(mail).status == "cancelled"


# --- tests of a monitor -----------------------------------------------------------------------------------------------


def test_a_test_is_marked_signed_logged_and_works_for_a_monitor_that_is_off(monitor, receiver):
    monitor.is_enabled = False
    save_monitor(monitor)
    attempt = delivery.send_test(monitor)
    arrival = receiver.arrivals[0]
    assert (arrival.document["event"], arrival.document["key"], arrival.document["trigger_limit"]) == (
        "TriggerTest",
        "",
        "0",
    )
    assert Webhook(sealing.unseal(monitor.signing_secret_sealed)).verify(arrival.body, arrival.headers)
    assert (attempt.status_code, attempt.delivery.event, fresh(attempt.delivery).status) == (200, None, "delivered")


def test_a_failed_test_is_never_tried_again_and_counts_for_nothing(monitor, receiver, broker):
    receiver.answers = [(500, {}, b"out of order")]
    attempt = delivery.send_test(monitor)
    assert (attempt.status_code, attempt.response_body) == (500, "out of order")
    assert fresh(attempt.delivery).status == "failed" and fresh(monitor).failures_in_row == 0
    assert broker.take("deliveries") == [] and not delivery.redeliver(attempt.delivery)


def test_tests_are_throttled(monitor, receiver):
    delivery.send_test(monitor)
    with pytest.raises(delivery.TestThrottled, match="try again in"):
        delivery.send_test(monitor)
    Delivery.objects.update(created_at=timezone.now() - delivery.TEST_PAUSE)
    delivery.send_test(monitor)
    assert len(receiver.arrivals) == 2


@pytest.mark.parametrize(("field", "value", "words"), [("target_path", "", "no target"), ("template", "{", "line 1")])
def test_a_monitor_that_cannot_send_says_why(field, value, words, monitor):
    setattr(monitor, field, value)
    with pytest.raises(transports.TransportError, match=words):
        delivery.send_test(monitor)
    assert not Delivery.objects.exists()
