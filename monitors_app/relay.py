"""From the outbox to the ledger: reads crossings, records them, starts their deliveries (rules 7.4, 9.4).

An entry leaves its stream only after the commit. If we die in between it is read again, and the ledger knows it
already.
"""

import logging
from collections.abc import Sequence

from django.db import DataError, IntegrityError

from monitors_app import ledger, outbox
from monitors_app.models import Delivery
from monitors_app.outbox import Entry
from monitors_app.wakeups import wake
from sessions_app.engine.counters import parse_crossing

logger = logging.getLogger(__name__)

BATCH = 500
# Waking costs more than recording. In a flood the sweep wakes the rest, no faster than workers can take it.
MAX_WAKEUPS = 100
# What an entry that makes no sense raises while it is read or recorded. Anything else is the database's or the
# store's trouble.
_BROKEN = (KeyError, ValueError, TypeError, OverflowError, DataError, IntegrityError)


def relay(bucket: int) -> int:
    """Empties one bucket's stream; returns how many entries were taken over.

    Raises StoreUnavailable and database errors. Looks again after giving its turn back: whoever was turned away
    meanwhile relies on us to see their entry.
    """
    taken = 0
    while outbox.length(bucket):
        with outbox.turn(bucket) as ours:
            if not ours:
                return taken
            while entries := outbox.read(bucket, BATCH):
                _take_over(bucket, entries)
                taken += len(entries)
    return taken


def relay_all() -> int:
    """Empties all streams that have entries: what no poke announced, or what waited while workers were down."""
    return sum(relay(bucket) for bucket in outbox.waiting())


def _take_over(bucket: int, entries: Sequence[Entry]) -> None:
    try:
        deliveries = ledger.record([parse_crossing(entry.fields) for entry in entries])
    except _BROKEN:
        deliveries = _one_by_one(bucket, entries)
    outbox.remove(bucket, entries)
    for delivery in first_in_line(deliveries)[:MAX_WAKEUPS]:
        wake(delivery.pk, delivery.channel)


def _one_by_one(bucket: int, entries: Sequence[Entry]) -> list[Delivery]:
    """One broken entry must not hold up the others of its batch."""
    deliveries: list[Delivery] = []
    for entry in entries:
        try:
            deliveries += ledger.record([parse_crossing(entry.fields)])
        except _BROKEN as error:
            outbox.set_aside(bucket, entry)
            kind = type(error).__name__
            logger.error(
                "an outbox entry makes no sense and is set aside",
                extra={"bucket": bucket, "entry": entry.id.decode(), "problem": kind},
            )
    return deliveries


def first_in_line(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """One webhook to each target, and all e-mails but those of a digest. Who sends them goes on with the others."""
    targets: set[str] = set()
    first = []
    for delivery in deliveries:
        if delivery.channel == Delivery.Channel.EMAIL:
            first += [] if delivery.in_digest else [delivery]
        elif delivery.target not in targets:
            targets.add(delivery.target)
            first.append(delivery)
    return first
