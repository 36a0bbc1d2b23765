"""Single flight: one piece of work at a time for each name, and what those who wait may take of it."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from sessions_app.flights import Flights

PATIENCE_SECONDS = 10


@pytest.fixture
def flights() -> Flights[str, int]:
    """Even numbers serve those who came later, too."""
    return Flights(serves_late=lambda number: number % 2 == 0)


def board(flights, name="a"):
    tickets = flights.tickets(name)
    flight, is_mine = next(tickets)
    return tickets, flight, is_mine


def test_who_comes_first_flies_and_the_others_wait_for_it(flights):
    first, flight, is_mine = board(flights)
    second, same, is_theirs = board(flights)
    assert same is flight and is_mine and not is_theirs
    flights.fly("a", flight, lambda: 2)
    assert flight.result() == 2
    assert list(first) == [] and list(second) == []


def test_other_names_do_not_wait(flights):
    board(flights, "a")
    assert board(flights, "b")[2]


def test_what_has_landed_serves_nobody_who_asks_later(flights):
    _, flight, _ = board(flights)
    flights.fly("a", flight, lambda: 2)
    assert board(flights)[2]


@pytest.mark.parametrize("outcome", [1, ValueError("broken")], ids=["a result for its own asker only", "a failure"])
def test_what_is_not_good_for_all_makes_those_who_waited_fly_once_more_together(flights, outcome):
    first, flight, _ = board(flights)
    waiting = [board(flights)[0] for _ in range(3)]
    flights.fly("a", flight, lambda: ended(outcome))
    assert list(first) == []
    (again, is_mine), *others = [next(tickets) for tickets in waiting]
    assert again is not flight and is_mine and others == [(again, False), (again, False)]
    flights.fly("a", again, lambda: 3)
    assert [list(tickets) for tickets in waiting] == [[], [], []], "the second flight began after they asked"


def test_a_waiter_who_goes_away_does_not_cancel_the_flight(flights):
    _, flight, _ = board(flights)
    assert not flight.cancel()
    flights.fly("a", flight, lambda: 2)
    assert flight.result() == 2


def test_many_threads_share_one_flight(flights):
    takers, runs, everybody_is_there = 16, [], threading.Event()
    joined: list[Future[int]] = []

    def work() -> int:
        assert everybody_is_there.wait(PATIENCE_SECONDS)
        runs.append(1)
        return 2

    def take() -> int:
        for flight, is_mine in flights.tickets("a"):
            joined.append(flight)
            if len(joined) == takers:
                everybody_is_there.set()
            if is_mine:
                flights.fly("a", flight, work)
            wait((flight,))
        return int(flight.result())

    with ThreadPoolExecutor(takers) as pool:
        assert list(pool.map(lambda _: take(), range(takers))) == [2] * takers
    assert len(runs) == 1


def ended(outcome):
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
