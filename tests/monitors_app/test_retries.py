"""When a failed delivery is tried again."""

from datetime import UTC, datetime

import pytest

from monitors_app import retries

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def exact(low, high):
    return 1.0


def test_the_waits_are_those_of_the_schedule_and_then_none_is_left():
    waits = [retries.wait_seconds(attempts, "", NOW, exact) for attempts in range(1, 9)]
    assert waits == [5, 60, 300, 1800, 7200, 18000, 36000, None]


def test_waits_are_spread_by_a_fifth():
    assert retries.wait_seconds(2, "", NOW, lambda low, high: low) == pytest.approx(48)
    assert retries.wait_seconds(2, "", NOW, lambda low, high: high) == pytest.approx(72)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 60),
        ("30", 60),  # the later of the two
        ("120", 120),
        (" 120 ", 120),
        ("Wed, 04 Mar 2026 12:05:00 GMT", 300),
        ("Wed, 04 Mar 2026 11:00:00 GMT", 60),
        ("Wednesday, 04-Mar-26 12:05:00 GMT", 300),
        ("soon", 60),
        ("-5", 60),
        ("1e9", 60),
        ("9" * 40, 86_400),  # never is not a time
        ("Fri, 31 Feb 2026 12:05:00 GMT", 60),
        ("\u0663\u0660\u0660", 60),
    ],
)
def test_retry_after_is_honoured_in_both_forms(header, seconds):
    assert retries.wait_seconds(2, header, NOW, exact) == seconds
