"""Rounds: few at once, what is silent is left, and what comes late is not lost."""

import asyncio
import os
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from monitors_app import claims, delivery, ledger, network, rounds, sending
from monitors_app.attempts import Result
from monitors_app.models import Attempt, Delivery
from monitors_app.rounds import Late, Round
from tests.whole_gateway import wait_for


class Receiver:
    """Answers when it is told to; counts how many wait."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting: set[Delivery] = set()
        self.most_waiting = 0

    async def send(self, webhook: Delivery) -> Result:
        self.waiting.add(webhook)
        self.most_waiting = max(self.most_waiting, len(self.waiting))
        while not self.open.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.01)
        self.waiting.discard(webhook)
        return Result(timezone.now(), 1, 200)


def webhooks(count):
    return [Delivery(pk=number) for number in range(1, count + 1)]


def fail_if_late(sent):
    raise AssertionError("nothing was left")


@pytest.fixture
def late(monkeypatch):
    """Where late answers are waited for, for this test alone."""
    late = Late()
    monkeypatch.setattr(rounds, "late", late)
    return late


def test_no_more_are_sent_at_once_than_there_are_places():
    receiver, queue = Receiver(), webhooks(10)
    begun = Round(queue, 3, receiver.send, fail_if_late)
    wait_for(lambda: len(receiver.waiting) == 3, 10)
    assert not begun.wait(0)
    receiver.open.set()
    assert begun.wait(10)
    assert sorted(sent.pk for sent, _ in begun.take()) == [each.pk for each in queue]
    assert (receiver.most_waiting, begun.rest(), begun.take()) == (3, [], [])


def test_who_leaves_gets_back_what_was_not_begun_and_the_rest_comes_late(late, django_db_blocker):
    receiver, queue = Receiver(), webhooks(5)
    came: list[Any] = []
    begun = Round(queue, 2, receiver.send, came.append)
    wait_for(lambda: len(receiver.waiting) == 2, 10)
    assert begun.leave() and begun.rest() == queue[2:]
    assert not late.drain(0)
    receiver.open.set()
    assert late.drain(10) and begun.wait(10)
    assert {sent.pk for sent, _ in came} == {1, 2} and begun.take() == []


def test_there_is_a_limit_to_what_nobody_waits_for(late, monkeypatch, django_db_blocker):
    monkeypatch.setattr(rounds, "MAX_LATE", 3)
    receiver = Receiver()
    queue = webhooks(4)
    first, second = (Round(lot, 2, receiver.send, lambda sent: None) for lot in (queue[:2], queue[2:]))
    wait_for(lambda: len(receiver.waiting) == 4, 10)
    assert first.leave() and not second.leave()
    receiver.open.set()
    assert second.wait(10) and len(second.take()) == 2, "who may not leave waits"
    assert late.drain(10)


def test_a_receiver_that_wants_no_more_gets_no_more():
    async def gone(webhook):
        return Result(timezone.now(), 1, 410, "gone", permanent=True)

    begun = Round(webhooks(4), 1, gone, fail_if_late)
    assert begun.wait(10)
    assert [sent.pk for sent, _ in begun.take()] == [1] and [each.pk for each in begun.rest()] == [2, 3, 4]


def test_one_that_breaks_us_holds_up_no_other(caplog):
    async def send(webhook):
        if webhook.pk == 2:
            raise KeyError("a fault of ours")
        return Result(timezone.now(), 1, 200)

    begun = Round(webhooks(4), 1, send, fail_if_late)
    assert begun.wait(10)
    assert [sent.pk for sent, _ in begun.take()] == [1, 3, 4]
    assert "could not be attempted" in caplog.text and "a fault of ours" in caplog.text


def test_a_late_answer_that_breaks_us_is_logged_and_waited_for_no_longer(late, caplog, django_db_blocker):
    def break_down(sent):
        raise KeyError("a fault of ours")

    assert late.expect(1)
    late.take(break_down, (Delivery(pk=1), Result(timezone.now(), 1, 200)))
    assert late.drain(10) and "a fault of ours" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_has_a_loop_of_its_own():
    async def process_id():
        return os.getpid()

    assert network.start(process_id()).result(10) == os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(0 if network.start(process_id()).result(10) == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0


# --- with the database ------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_silent_target_is_left_and_its_late_answers_are_recorded_and_followed(
    late, crossing, monitor, broker, monkeypatch
):
    receiver = Receiver()
    monkeypatch.setattr(sending, "post", receiver.send)
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(delivery, "LINGER_SECONDS", 0.01)
    queue = ledger.record([crossing({"key": f"key_{number}"}, counter=f"c-{number}") for number in range(8)])
    delivery.deliver(queue[0].pk)
    places = claims.MAX_PER_TARGET
    assert Counter(Delivery.objects.values_list("status", flat=True)) == {"sending": places, "pending": 8 - places}
    assert len(receiver.waiting) == places and broker.take("deliveries") == []
    receiver.open.set()
    assert late.drain(10)
    assert Delivery.objects.filter(status="delivered").count() == Attempt.objects.count() == places
    followers = {message.args[0] for message in broker.take("deliveries")}
    assert followers <= {each.pk for each in queue[places:]} and followers
    delivery.deliver(followers.pop())
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"} and late.drain(10)


@pytest.mark.django_db(transaction=True)
def test_workers_that_look_at_the_same_moment_do_not_overrun_a_target(crossing, monitor):
    ledger.record([crossing({"key": f"key_{number}"}, counter=f"c-{number}") for number in range(20)])
    target, now = Delivery.objects.values_list("target", flat=True)[0], timezone.now()
    start = threading.Barrier(6)
    claimed: list[Delivery] = []

    def look():
        start.wait()
        claimed.extend(claims.claim_for(target, now).deliveries)
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == claims.MAX_PER_TARGET == claims.in_flight(target, now)
