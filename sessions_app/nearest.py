"""Keys that have used up most of their quota, as the last snapshots say: one look at an index, whatever the number of
keys.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from organisations_app.tenancy import within
from sessions_app import counter_shares
from sessions_app.fullness import fullest_counters, fullest_shared
from sessions_app.models import CounterShare, Key, UsageSnapshot


@dataclass(frozen=True, slots=True)
class NearKey:
    """A key by its fullest counter. `ends_at` is None for a quota that never renews. `is_shared`: other keys count on
    it too, and this is the one that was seen last.
    """

    key: Key
    percent: int
    used: int
    ends_at: datetime | None
    is_shared: bool

    @property
    def width(self) -> str:
        return f"{min(100, self.percent)}%"

    @property
    def level(self) -> str:
        return "spent" if self.percent >= 100 else "near" if self.percent >= 75 else "ok"


def nearest_to_limit(organisations: Collection[str] | None, now: datetime, count: int) -> list[NearKey]:
    """The fullest first; of these organisations, None is all. Periods that are over do not count. Three queries."""
    living = within(Key.objects.filter(revoked_at=None), organisations, "organisation")
    own = fullest_counters(1, now)
    if organisations is not None:
        own = own.filter(key_id__in=living.values("pk"))
    named = [(row.key_id, row) for row in own[: count * 3]] + _shared(organisations, now, count * 3)
    named.sort(key=lambda each: each[1].percent)
    found = dict(named)  # a key may have several counters: the fullest is the last
    keys = living.select_related("organisation").in_bulk(list(found))
    near = [
        NearKey(keys[key_id], row.percent, row.used, row.ends_at, is_shared=not row.key_id)
        for key_id, row in found.items()
        if key_id in keys
    ]
    return sorted(near, key=lambda each: (-each.percent, each.key.pk))[:count]


def _shared(organisations: Collection[str] | None, now: datetime, count: int) -> list[tuple[str, UsageSnapshot]]:
    """The fullest shared counters, each with the key that was seen on it last."""
    counters = fullest_shared(1, now)
    if organisations is not None:
        shares = CounterShare.objects.filter(organisation__in=organisations)
        counters = counters.filter(counter__in=shares.values("counter"))
    found: Any = counter_shares.with_newest(counters)[:count]
    return [(row.sharer, row) for row in found if row.sharer]
