"""Validation and exact arithmetic of limits (rules 2.2, 2.4, 4.1, 7.2, 7.3)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies_app.limits import limit_errors, threshold_label, usage_needed, whole_rate

REFUSED = {
    "quota_max 0": ({"quota_max": 0}, "quota_max", "use -1 for unlimited, is_inactive to block"),
    "quota_max -2": ({"quota_max": -2}, "quota_max", "-1"),
    "quota_max text": ({"quota_max": "10"}, "quota_max", "whole number"),
    "quota_max truth": ({"quota_max": True}, "quota_max", "whole number"),
    "quota_max fraction": ({"quota_max": 1.5}, "quota_max", "whole number"),
    "rate not a number": ({"rate": float("nan")}, "rate", "a number"),
    "rate infinite": ({"rate": float("inf")}, "rate", "a number"),
    "per text": ({"per": "1"}, "per", "a number"),
    "rate too low": (
        {"rate": -3.0},
        "rate",
        "must be a number of requests (0 or less is no rate limit) between -1 and 1,000,000,000, not -3",
    ),
    "quota_max too high": ({"quota_max": 10**16}, "quota_max", "1,000,000,000,000,000, not 10,000,000,000,000,000"),
    "threshold too precise": ({"trigger_limits": [100.5]}, "trigger_limits", "between 0 and 100, not 100.5"),
    "period unknown": ({"quota_period": "year"}, "quota_period", "rolling, day, week, month"),
    "anchor 0": ({"quota_anchor_day": 0}, "quota_anchor_day", "between 1 and 31"),
    "anchor 32": ({"quota_anchor_day": 32}, "quota_anchor_day", "between 1 and 31"),
    "negative renewal with a calendar": (
        {"quota_period": "day", "quota_renewal_rate": -1},
        "quota_renewal_rate",
        "calendar",
    ),
    "thresholds ascending": (
        {"trigger_limits": [50, 80]},
        "trigger_limits",
        "the 2nd, 80, is above the 1st, 50",
    ),
    "thresholds equal": ({"trigger_limits": [50, 50]}, "trigger_limits", "descend"),
    "threshold above 100": ({"trigger_limits": [120]}, "trigger_limits", "threshold 1"),
    "threshold 0": ({"trigger_limits": [50, 0]}, "trigger_limits", "threshold 2"),
    "threshold text": ({"trigger_limits": ["80"]}, "trigger_limits", "threshold 1"),
    "thresholds no list": ({"trigger_limits": 80}, "trigger_limits", "list"),
    "too many thresholds": ({"trigger_limits": [100 - n for n in range(21)]}, "trigger_limits", "at most 20"),
}


@pytest.mark.parametrize(("values", "field", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_and_says_what_is_allowed(values, field, words):
    assert words in limit_errors(values)[field]


@pytest.mark.parametrize(
    "values",
    [
        {"quota_max": -1},
        {"quota_max": 1},
        {"quota_renewal_rate": -1},
        {"rate": 0, "per": 0},
        {"rate": -1},
        {"rate": 0.5, "per": 2.5},
        {"trigger_limits": []},
        {"trigger_limits": [100, 99.5, 0.1]},
        {"quota_period": "month", "quota_anchor_day": 31},
        {"quota_max": 10.0},
    ],
)
def test_accepts(values):
    assert limit_errors(values) == {}


@pytest.mark.parametrize(
    ("percent", "label"),
    [(80.0, "80"), (12.5, "12.5"), (0.00001, "0.00001"), (100, "100"), (0.1, "0.1"), (33.333, "33.333")],
)
def test_a_threshold_is_printed_in_shortest_form(percent, label):
    assert threshold_label(percent) == label


@pytest.mark.parametrize(
    ("quota", "percent", "needed"),
    [(10, 80, 8), (3, 50, 2), (1, 1, 1), (1000, 0.1, 1), (10, 12.5, 2), (7, 100, 7), (29, 7, 3), (100, 29, 29)],
)
def test_needed_usage_is_rounded_up_exactly(quota, percent, needed):
    assert usage_needed(quota, percent) == needed


@given(st.integers(1, 10**15), st.integers(1, 10_000))
def test_needed_usage_is_the_least_that_reaches_the_share(quota, basis_points):
    needed = usage_needed(quota, basis_points / 100)
    assert Fraction(needed, quota) >= Fraction(basis_points, 10_000) > Fraction(needed - 1, quota)


@pytest.mark.parametrize(
    ("rate", "per", "whole"),
    [(5, 1, (5, 1000)), (0.5, 1, (1, 2000)), (2.5, 1, (5, 2000)), (1000, 60, (1000, 60_000)), (1, 0.5, (1, 500))],
)
def test_fractional_rates_become_whole_ones_of_the_same_ratio(rate, per, whole):
    assert whole_rate(rate, per) == whole
