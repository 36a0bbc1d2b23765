"""Two weeks of invented hourly usage, so that charts have something to show on the first day."""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction

from demo.credentials import EXPORT_KEY_ID, FREE_KEY_ID, MOBILE_KEY_ID, PRO_KEY_ID
from demo.people import ORGANISATION_ID
from demo.plans import API_ID
from sessions_app import usage_days
from sessions_app.models import UsageHour

EPOCH = "demo"  # apart from what a real store counts
DAYS = 14
SEED = 7
# (key, requests in its busiest hour, share denied)
TRAFFIC = (
    (FREE_KEY_ID, 9, 0.12),
    (PRO_KEY_ID, 46, 0.01),
    (MOBILE_KEY_ID, 31, 0.0),
    (EXPORT_KEY_ID, 14, 0.03),
)


@transaction.atomic
def make_history(now: datetime, zone: ZoneInfo) -> None:
    """Once: a second start adds nothing, so that the invented past does not follow into the real one."""
    if UsageHour.objects.filter(organisation=ORGANISATION_ID, epoch=EPOCH).exists():
        return
    UsageHour.objects.bulk_create(_hours(now, zone), batch_size=500)
    usage_days.recount()


def _hours(now: datetime, zone: ZoneInfo) -> Iterator[UsageHour]:
    """The whole hours before this one; the same numbers every time."""
    chance = random.Random(SEED)
    last = now.replace(minute=0, second=0, microsecond=0)
    for age in range(DAYS * 24, 0, -1):
        hour = last - timedelta(hours=age)
        for key_id, busiest, denied_share in TRAFFIC:
            requests = round(busiest * _busyness(hour.astimezone(zone)) * chance.uniform(0.6, 1.0))
            denied = sum(chance.random() < denied_share for _ in range(requests))
            if requests:
                yield UsageHour(
                    organisation_id=ORGANISATION_ID,
                    key_id=key_id,
                    api_id=API_ID,
                    hour=hour,
                    epoch=EPOCH,
                    passed=requests - denied,
                    denied=denied,
                )


def _busyness(local: datetime) -> float:
    """0 to 1: people work by day, most around two o'clock, and little at weekends."""
    by_day = max(0.0, math.sin((local.hour - 5) / 18 * math.pi)) if 5 <= local.hour <= 23 else 0.0
    return by_day * (0.35 if local.weekday() >= 5 else 1.0)
