"""How long the ledger remembers. Nothing unfinished is ever touched."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from monitors_app import claims
from monitors_app.models import Delivery, Pacing, TriggerEvent

EVENTS_KEPT = timedelta(days=90)
TESTS_KEPT = timedelta(days=7)
PACES_KEPT = timedelta(days=1)
BATCH = 500
MAX_BATCHES = 100


def prune(now: datetime) -> int:
    """Deletes old events with their deliveries and attempts, old tests, and paces that bind nobody any more.

    Returns how many events.
    """
    erase_leftover_keys()
    Delivery.objects.filter(event=None, created_at__lt=now - TESTS_KEPT).delete()
    Pacing.objects.filter(
        last_first_attempt_at__lt=now - PACES_KEPT, monitor__event_timeout__lt=PACES_KEPT.total_seconds()
    ).delete()
    pruned = 0
    for _ in range(MAX_BATCHES):
        pruned += (batch := _prune_batch(now - EVENTS_KEPT))
        if batch < BATCH:
            break
    return pruned


def erase_leftover_keys() -> int:
    """Encrypted keys of events whose deliveries are all finished: normally erased at once, unless a worker died just
    then.
    """
    return TriggerEvent.objects.exclude(key_sealed="").filter(~_unfinished()).update(key_sealed="")


def _unfinished() -> Exists:
    return Exists(Delivery.objects.filter(event=OuterRef("pk"), status__in=claims.OPEN))


def _prune_batch(before: datetime) -> int:
    old = TriggerEvent.objects.filter(~_unfinished(), occurred_at__lt=before).order_by("occurred_at")
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    TriggerEvent.objects.filter(pk__in=ids).delete()
    return len(ids)
