"""Requests of one key by the hour and by the day, by API and outcome: stacked bars, ready for SVG."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Sum

from policies_app.drafts import api_names
from sessions_app.models import UsageHour

HOURS = 24
DAYS = 30
COLOURS = 5  # APIs with a colour of their own; the others share the last one
GAP = 0.25  # of a bar's width
DENIED = "denied"

Counts = Mapping[str, tuple[int, int]]  # (passed, denied) by API


@dataclass(frozen=True, slots=True)
class Segment:
    """`kind` is the class of its colour: `api-0` and so on, or denied."""

    kind: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class StackedBar:
    words: str
    x: str
    width: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class ApiSum:
    """A line of the legend."""

    name: str
    kind: str
    passed: int
    denied: int


@dataclass(frozen=True, slots=True)
class StackedChart:
    """`highest` is the number of requests that fills the picture."""

    title: str
    bars: tuple[StackedBar, ...]
    apis: tuple[ApiSum, ...]
    highest: int
    first: str
    last: str

    @property
    def passed(self) -> int:
        return sum(api.passed for api in self.apis)

    @property
    def denied(self) -> int:
        return sum(api.denied for api in self.apis)


def key_charts(key_id: str, zone: ZoneInfo, now: datetime) -> tuple[StackedChart, StackedChart]:
    """The last 24 hours and the last 30 days in `zone`, the running ones included. Two queries."""
    first_day = now.astimezone(zone).date() - timedelta(days=DAYS - 1)
    first_hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    by_hour, by_day = _sums(key_id, datetime.combine(first_day, time.min, zone), first_hour, zone)
    names = api_names({api for counts in by_day.values() for api in counts})
    hours = [first_hour + timedelta(hours=place) for place in range(HOURS)]
    days = [first_day + timedelta(days=place) for place in range(DAYS)]
    hour_words = [f"{hour.astimezone(zone):%d %b, %H:%M}" for hour in hours]
    return (
        draw_stacks("Last 24 hours", [by_hour.get(hour, {}) for hour in hours], hour_words, names),
        draw_stacks("Last 30 days", [by_day.get(day, {}) for day in days], [f"{day:%d %b}" for day in days], names),
    )


def _sums(
    key_id: str, begin: datetime, first_hour: datetime, zone: ZoneInfo
) -> tuple[dict[datetime, dict[str, tuple[int, int]]], dict[date, dict[str, tuple[int, int]]]]:
    by_hour: defaultdict[datetime, dict[str, tuple[int, int]]] = defaultdict(dict)
    by_day: defaultdict[date, dict[str, tuple[int, int]]] = defaultdict(dict)
    rows = UsageHour.objects.filter(key=key_id, hour__gte=min(begin, first_hour)).order_by()
    for hour, api, passed, denied in rows.values_list("hour", "api_id").annotate(Sum("passed"), Sum("denied")):
        for sums, slot in ((by_hour, hour.astimezone(UTC)), (by_day, hour.astimezone(zone).date())):
            before = sums[slot].get(api, (0, 0))
            sums[slot][api] = (before[0] + passed, before[1] + denied)
    return dict(by_hour), dict(by_day)


def draw_stacks(title: str, slots: Sequence[Counts], words: Sequence[str], names: Mapping[str, str]) -> StackedChart:
    """One bar for each slot: what passed by API, the busiest below, and what was denied on top. Pure."""
    sums = _legend(slots, names)
    highest = max((sum(map(sum, counts.values())) for counts in slots), default=0)
    kinds = {api: total.kind for api, total in sums.items()}
    width = 100 / max(1, len(slots))
    bars = tuple(
        StackedBar(
            words=f"{label}: {_passed(counts):,} passed, {_denied(counts):,} denied",
            x=f"{(place + GAP / 2) * width:.2f}%",
            width=f"{(1 - GAP) * width:.2f}%",
            segments=tuple(_stacked(counts, kinds, highest or 1)),
        )
        for place, (counts, label) in enumerate(zip(slots, words, strict=True))
    )
    return StackedChart(title, bars, tuple(sums.values()), highest, words[0], words[-1])


def _legend(slots: Iterable[Counts], names: Mapping[str, str]) -> dict[str, ApiSum]:
    """By API, the busiest first: the first COLOURS of them get a colour of their own."""
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for counts in slots:
        for api, (passed, denied) in counts.items():
            totals[api][0] += passed
            totals[api][1] += denied
    ranked = sorted(totals, key=lambda api: (-sum(totals[api]), api))
    return {
        api: ApiSum(names.get(api, api), f"api-{min(place, COLOURS - 1)}", *totals[api])
        for place, api in enumerate(ranked)
    }


def _stacked(counts: Counts, kinds: Mapping[str, str], highest: int) -> Iterable[Segment]:
    base = 0.0
    passed = [(kind, counts[api][0]) for api, kind in kinds.items() if api in counts]
    for kind, requests in (*passed, (DENIED, _denied(counts))):
        height = requests * 100 / highest
        base += height
        if requests:
            yield Segment(kind, f"{100 - base:.2f}%", f"{height:.2f}%")


def _passed(counts: Counts) -> int:
    return sum(passed for passed, _ in counts.values())


def _denied(counts: Counts) -> int:
    return sum(denied for _, denied in counts.values())
