"""How long the ledger remembers. Nothing unfinished is ever touched."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from monitors_app import claims
from monitors_app.models import Attempt, Delivery, Monitor, Pacing, TriggerEvent

PACES_KEPT = timedelta(days=1)
BATCH = 500
MAX_BATCHES = 100


def prune(now: datetime) -> int:
    """Deletes old events with their deliveries and attempts, and before that their bodies; old tests and notices,
    secrets that no longer overlap, and paces that bind nobody any more.

    Returns how many events.
    """
    _forget_old_secrets(now)
    _in_batches(_erase_bodies, now - timedelta(days=settings.GATEWAY_BODIES_KEPT_DAYS))
    _prune_tests(now - timedelta(days=settings.GATEWAY_TESTS_KEPT_DAYS))
    Pacing.objects.filter(
        last_first_attempt_at__lt=now - PACES_KEPT, monitor__event_timeout__lt=PACES_KEPT.total_seconds()
    ).delete()
    return _in_batches(_prune_events, now - timedelta(days=settings.GATEWAY_EVENTS_KEPT_DAYS))


def erase_leftover_keys() -> int:
    """Encrypted keys of events whose deliveries are all finished: normally erased at once, unless a worker died just
    then. Looks before it writes: on SQLite everybody else would have to wait for the look.
    """
    leftover = TriggerEvent.objects.exclude(key_sealed="").filter(~_unfinished())
    ids = list(leftover.order_by("pk").values_list("pk", flat=True)[:BATCH])
    return leftover.filter(pk__in=ids).update(key_sealed="") if ids else 0


def _forget_old_secrets(now: datetime) -> None:
    Monitor.objects.filter(previous_secret_until__lt=now).update(previous_secret_sealed="", previous_secret_until=None)


def _unfinished() -> Exists:
    return Exists(Delivery.objects.filter(event=OuterRef("pk"), status__in=claims.OPEN))


def _prune_tests(before: datetime) -> None:
    """A test is never retried: one that is still being sent after days is none any more. Notices are."""
    waiting_notice = Q(channel=Delivery.Channel.EMAIL, status__in=claims.OPEN)
    Delivery.objects.filter(~waiting_notice, event=None, created_at__lt=before).delete()


def _in_batches(prune_batch: Callable[[datetime], int], before: datetime) -> int:
    """Short transactions, so that deliveries go on meanwhile."""
    pruned = 0
    for _ in range(MAX_BATCHES):
        pruned += (batch := prune_batch(before))
        if batch < BATCH:
            break
    return pruned


def _erase_bodies(before: datetime) -> int:
    """What was sent, with which headers, and what was answered. A delivery without its body is not sent again."""
    old = Delivery.objects.exclude(body="").exclude(status__in=claims.OPEN).filter(finished_at__lt=before)
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    Attempt.objects.filter(delivery__in=ids).exclude(response_body="").update(response_body="")
    Delivery.objects.filter(pk__in=ids).exclude(status__in=claims.OPEN).update(body="", headers_sealed="")
    return len(ids)


def _prune_events(before: datetime) -> int:
    old = TriggerEvent.objects.filter(~_unfinished(), occurred_at__lt=before).order_by("occurred_at")
    ids = list(old.values_list("pk", flat=True)[:BATCH])
    TriggerEvent.objects.filter(~_unfinished(), pk__in=ids).delete()
    return len(ids)
