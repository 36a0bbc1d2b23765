"""Keys that have used up most of their quota, as the last snapshots say: one look at an index, whatever the number of
keys.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from organisations_app.tenancy import within
from sessions_app.fullness import fullest_counters
from sessions_app.models import Key


@dataclass(frozen=True, slots=True)
class NearKey:
    """A key by its fullest counter. `ends_at` is None for a quota that never renews."""

    key: Key
    percent: int
    used: int
    ends_at: datetime | None

    @property
    def width(self) -> str:
        return f"{min(100, self.percent)}%"

    @property
    def level(self) -> str:
        return "spent" if self.percent >= 100 else "near" if self.percent >= 75 else "ok"


def nearest_to_limit(organisations: Collection[str] | None, now: datetime, count: int) -> list[NearKey]:
    """The fullest first; of these organisations, None is all. Periods that are over do not count. Two queries."""
    fullest = fullest_counters(1, now)
    living = within(Key.objects.filter(revoked_at=None), organisations, "organisation")
    if organisations is not None:
        fullest = fullest.filter(key_id__in=living.values("pk"))
    found = {row.key_id: row for row in reversed(fullest[: count * 3])}  # a key may have several counters
    keys = living.select_related("organisation").in_bulk(list(found))
    near = [
        NearKey(keys[key_id], row.percent, row.used, row.ends_at) for key_id, row in found.items() if key_id in keys
    ]
    return sorted(near, key=lambda each: (-each.percent, each.key.pk))[:count]
