"""The backlog over `/api/v1/deliveries/backlog`: what waits and for how long, so that a stuck queue is seen."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from monitors_app.backlog import MOST_TARGETS, backlog, open_deliveries, queue_lengths
from monitors_app.models import Delivery
from sessions_app.engine.types import StoreUnavailable


class WaitingEventsShape(serializers.Serializer[Any]):
    waiting = serializers.IntegerField(help_text="Thresholds crossed that are not in the ledger yet.")
    oldest_seconds = serializers.FloatField()


class LineShape(serializers.Serializer[Any]):
    target = serializers.CharField(help_text="Host and port; empty: e-mails.")
    waiting = serializers.IntegerField(help_text="Not finished: due, being sent, or waiting for a retry or their turn.")
    due = serializers.IntegerField(help_text="Could be sent now.")
    oldest_due_seconds = serializers.FloatField()
    most_attempts = serializers.IntegerField(help_text="How often the most stubborn of them was tried.")


class BacklogShape(serializers.Serializer[Any]):
    """Events and queues are the gateway's: null for who is bound to an organisation."""

    events = WaitingEventsShape(allow_null=True)
    waiting = serializers.IntegerField()
    due = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField()
    failed = serializers.IntegerField(help_text="Given up, still kept, redeliverable.")
    targets = LineShape(many=True, help_text=f"The longest due first, at most {MOST_TARGETS}.")
    queues = serializers.DictField(
        child=serializers.IntegerField(allow_null=True),
        allow_null=True,
        help_text="Tasks that no worker has taken, by queue; null: the broker did not say.",
    )
    warnings = serializers.ListField(child=serializers.CharField(), help_text="What to look into, in words.")


def backlog_document(deliveries: QuerySet[Delivery], now: datetime, *, is_whole: bool) -> dict[str, Any]:
    """Of these deliveries; `is_whole`: they are all there are, and who asks may know of the whole gateway."""
    document = asdict(open_deliveries(deliveries, now))
    failed = deliveries.filter(status=Delivery.Status.FAILED, event__isnull=False).order_by().count()
    document |= {"targets": document.pop("lines"), "failed": failed, "events": None, "queues": None, "warnings": []}
    return document | (_of_the_gateway(now) if is_whole else {})


def _of_the_gateway(now: datetime) -> dict[str, Any]:
    """Nothing is left out because one of the parts is down: that is when people look here."""
    queues = queue_lengths()
    silent = [] if None not in queues.values() else ["The broker does not say how long its queues are: is it up?"]
    try:
        found = backlog(now)
    except StoreUnavailable:
        return {"queues": queues, "warnings": ["The counter store does not answer.", *silent]}
    events = {"waiting": found.unrelayed, "oldest_seconds": found.unrelayed_seconds}
    return {"events": events, "queues": queues, "warnings": [*found.warnings(), *silent]}
