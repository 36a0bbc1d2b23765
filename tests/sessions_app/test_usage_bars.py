"""How usage, periods and charts are put into words and pictures."""

from datetime import UTC, date, datetime

import pytest

from policies_app.durations import duration_text, period_text, quota_text, rate_text, wait_text
from policies_app.limits import Limits
from sessions_app.usage import QuotaUsage
from sessions_app.usage_bars import quota_title, usage_bar
from sessions_app.usage_charts import draw_chart

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def quota(used: int, maximum: int = 10, **fields) -> QuotaUsage:
    values = {"scope": "", "api_ids": (), "period_seconds": 60, "renews_at": None, "shared": False, **fields}
    return QuotaUsage(max=maximum, used=used, remaining=max(0, maximum - used), **values)


@pytest.mark.parametrize(
    ("used", "percent", "width", "level"),
    [
        (0, 0, "0.00%", "ok"),
        (7, 70, "70.00%", "ok"),
        (8, 80, "80.00%", "near"),
        (10, 100, "100.00%", "spent"),
        (25, 250, "100.00%", "spent"),
    ],
)
def test_a_bar_never_outgrows_its_track(used, percent, width, level):
    bar = usage_bar(quota(used), "Echo", NOW)
    assert (bar.percent, bar.width, bar.level) == (percent, width, level)


def test_percent_is_rounded_down_so_that_100_means_spent():
    assert usage_bar(quota(999, 1000), "Echo", NOW).percent == 99


def test_thresholds_stand_on_the_bar_and_know_whether_they_were_reached():
    ticks = usage_bar(quota(4, 7), "Echo", NOW, [80, 50, 12.5]).ticks
    assert [(tick.label, tick.x, tick.passed) for tick in ticks] == [
        ("12.5", "12.50%", True),
        ("50", "50.00%", True),
        ("80", "80.00%", False),
    ]


def test_says_when_it_renews():
    bar = usage_bar(quota(1, renews_at=int(NOW.timestamp()) + 41), "Echo", NOW)
    assert (bar.renews_in, bar.period) == ("41 s", "per minute")
    assert usage_bar(quota(1, period_seconds=None), "Echo", NOW).period == "in total"


@pytest.mark.parametrize(
    ("scope", "apis", "title"),
    [
        ("", (), "All APIs"),
        ("api:a", ("a",), "Echo"),
        ("policy:p", ("a", "gone"), "Free: Echo, gone"),
        ("policy:p", ("a", "b", "c", "d"), "Free: Echo, b, c and 1 more"),
    ],
)
def test_a_quota_is_called_by_what_it_counts(scope, apis, title):
    assert quota_title(quota(0, scope=scope, api_ids=apis), {"a": "Echo", "p": "Free"}) == title


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "1 second"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (5400, "90 minutes"),
        (86_400, "1 day"),
        (0.5, "0.5 seconds"),
    ],
)
def test_durations_are_exact_in_the_largest_unit(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (41.4, "41 s"), (100, "2 min"), (7200, "2 h"), (18_720, "5 h 12 min"), (260_000, "3 days")],
)
def test_waits_are_rounded_to_what_a_reader_needs(seconds, text):
    assert wait_text(seconds) == text


def test_limits_in_words():
    assert quota_text(Limits()) == "unlimited" and rate_text(Limits()) == "no rate limit"
    assert quota_text(Limits(quota_max=1000, quota_renewal_rate=3600)) == "1,000 requests per hour"
    assert quota_text(Limits(quota_max=5)) == "5 requests in total"
    assert period_text(Limits(quota_max=5, quota_period="month")) == "per calendar month"
    assert rate_text(Limits(rate=2.5, per=10)) == "2.5 requests per 10 seconds"


def test_the_highest_day_fills_the_chart_and_empty_days_stand_empty():
    chart = draw_chart({date(2026, 5, 1): (30, 10), date(2026, 5, 3): (20, 0)}, date(2026, 5, 1), 4)
    assert (chart.passed, chart.denied, chart.highest) == (50, 10, 40)
    assert [(bar.passed_height, bar.denied_height, bar.denied_y) for bar in chart.bars] == [
        ("75.00%", "25.00%", "0.00%"),
        ("0.00%", "0.00%", "100.00%"),
        ("50.00%", "0.00%", "50.00%"),
        ("0.00%", "0.00%", "100.00%"),
    ]
    assert draw_chart({}, date(2026, 5, 1), 2).highest == 0
