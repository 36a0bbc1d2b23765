"""What the pages of events and deliveries share: they are only read, and never counted."""

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet
from unfold.contrib.filters.admin import TextFilter

from monitors_app.bodies import with_key
from monitors_app.models import Delivery, TriggerEvent
from organisations_app.admin_read_only import ReadOnlyAdmin
from organisations_app.counting import MOST_COUNTED

DELIVERY_TENANCY = ("monitor__organisation", "developer__organisation")
STATUS_COLOURS = {
    "Delivered": "success",
    "Pending": "info",
    "Sending": "info",
    "Failed": "danger",
    "Cancelled": "warning",
}


class HistoryAdmin(ReadOnlyAdmin):
    list_filter_sheet = True


class ExactFilter(TextFilter):
    """Rows whose field is what was typed: unlike a part of it, an index finds that."""

    def value(self) -> str:
        return (super().value() or "").strip().replace("\0", "\ufffd")  # no row has it, and databases choke on NUL


def about(text: str, names: Sequence[str], event: str = "") -> Q:
    """That an event, which the prefix `event` leads to, has this text, whole, in one of the fields.

    Rare ones are looked up here, each field by its index, and named: a database that guesses wrong would walk through
    the whole list for them. Frequent ones come soon on that walk.
    """
    ways = [TriggerEvent.objects.filter(**{name: text}) for name in names]
    found = [pk for way in ways for pk in first_found(way)]
    if len(found) <= MOST_COUNTED:
        return Q(**{f"{event}pk__in": found})
    return Q(*((f"{event}{name}", text) for name in names), _connector=Q.OR)


def first_found(rows: QuerySet[Any]) -> list[int]:
    """Ids of rows in the order in which an index has them: all of them, or one more than MOST_COUNTED."""
    return list(rows.order_by().values_list("pk", flat=True)[: MOST_COUNTED + 1])


def shown_body(delivery: Delivery) -> str:
    """What is sent, laid out, with the masked key: the raw one is in no page."""
    hint = delivery.event.key_hint if delivery.event else ""
    try:
        return json.dumps(json.loads(with_key(delivery.body, hint)), indent=2, ensure_ascii=False)
    except ValueError:
        return delivery.body
