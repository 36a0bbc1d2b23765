"""What the pages of events and deliveries share: they are only read, and never counted."""

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.filters.admin import TextFilter

from monitors_app.bodies import with_key
from monitors_app.models import Delivery, TriggerEvent
from organisations_app.admin_lists import MOST_COUNTED, PagedAdmin
from organisations_app.admin_tenancy import ConfinedAdmin

DELIVERY_TENANCY = ("monitor__organisation", "developer__organisation")
STATUS_COLOURS = {
    "Delivered": "success",
    "Pending": "info",
    "Sending": "info",
    "Failed": "danger",
    "Cancelled": "warning",
}


class HistoryAdmin(PagedAdmin, ConfinedAdmin):
    """What happened cannot be edited."""

    list_filter_submit = True
    list_filter_sheet = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ExactFilter(TextFilter):
    """Rows whose field is what was typed: unlike a part of it, an index finds that."""

    def value(self) -> str:
        return (super().value() or "").strip().replace("\0", "\ufffd")  # no row has it, and databases choke on NUL


def about(text: str, names: Sequence[str], event: str = "") -> Q:
    """That an event, which the prefix `event` leads to, has this text, whole, in one of the fields.

    Rare ones are looked up here, each field by its index, and named: a database that guesses wrong would walk through
    the whole list for them. Frequent ones come soon on that walk.
    """
    ways = [TriggerEvent.objects.filter(**{name: text}).order_by() for name in names]
    found = [pk for way in ways for pk in way.values_list("pk", flat=True)[: MOST_COUNTED + 1]]
    if len(found) <= MOST_COUNTED:
        return Q(**{f"{event}pk__in": found})
    return Q(*((f"{event}{name}", text) for name in names), _connector=Q.OR)


def shown_body(delivery: Delivery) -> str:
    """What is sent, laid out, with the masked key: the raw one is in no page."""
    hint = delivery.event.key_hint if delivery.event else ""
    try:
        return json.dumps(json.loads(with_key(delivery.body, hint)), indent=2, ensure_ascii=False)
    except ValueError:
        return delivery.body
