"""What the list of keys can be narrowed down to: a status, an expiry, a usage; and the search for keys."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter

from organisations_app.counting import MOST_COUNTED
from sessions_app.fullness import fullest
from sessions_app.key_status import KeyStatus
from sessions_app.models import Credential, Key, KeyPolicy
from sessions_app.tokens import PREFIX

EXPIRING_DAYS = (7, 30)
FULL_FROM = (50, 75, 90, 100)
SHORT = 3  # characters; below that a text within an alias has no trigram to be found by
MOST_FOUND = MOST_COUNTED + 1


class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status.value.title()) for status in KeyStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        expired = Q(expires_at__isnull=False, expires_at__lte=timezone.now())
        blocked = Q(is_inactive=True) | Q(organisation__session__is_inactive=True)
        blocked |= Q(Exists(KeyPolicy.objects.filter(key=OuterRef("pk"), policy__is_inactive=True)))
        living = queryset.filter(revoked_at__isnull=True)
        match self.value():
            case KeyStatus.REVOKED:
                return queryset.filter(revoked_at__isnull=False)
            case KeyStatus.EXPIRED:
                return living.filter(expired)
            case KeyStatus.INACTIVE:
                return living.exclude(expired).filter(blocked)
            case KeyStatus.ACTIVE:
                return living.exclude(expired).exclude(blocked)
        return queryset


class ExpiryFilter(DropdownFilter):
    title = "expiry"
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("never", "Never expires"), *((str(days), f"Within {days} days") for days in EXPIRING_DAYS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        if self.value() == "never":
            return queryset.filter(expires_at__isnull=True)
        if self.value() in map(str, EXPIRING_DAYS):
            now = timezone.now()
            return queryset.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=int(self.value() or 0)))
        return queryset


class UsedFilter(DropdownFilter):
    """By the last snapshot, some seconds old, of counters of its own or shared; of very many the fullest. It looks at
    what the filters before it have left.
    """

    title = "quota used"
    parameter_name = "used"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(percent), f"{percent} % or more" if percent < 100 else "All of it") for percent in FULL_FROM]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        value = self.value() or ""
        if value not in map(str, FULL_FROM):
            return queryset
        return queryset.filter(pk__in=fullest(queryset, int(value), MOST_FOUND))


def search(keys: QuerySet[Key], text: str) -> QuerySet[Key]:
    """Of `keys` those with this text in the alias, at the beginning of the id, or as the end of a secret; at most some
    hundreds of each. Each way has an index of its own, which one condition with OR could not use.
    """
    alias = "alias__istartswith" if len(text) < SHORT else "alias__icontains"
    hints = [text.replace("...", "…"), f"…{text}", f"{PREFIX}…{text}"]
    hinted = Credential.objects.filter(hint__in=hints).values("key")
    ways = [keys.filter(**{alias: text}), keys.filter(pk__startswith=text), keys.filter(pk__in=hinted)]
    found = [_first(way.order_by().values_list("pk", flat=True)) for way in ways]
    return keys.filter(pk__in=list(found[0].union(*found[1:])[:MOST_FOUND]))


def _first(rows: QuerySet[Key, str]) -> QuerySet[Key, str]:
    return rows[:MOST_FOUND] if connection.features.supports_slicing_ordering_in_compound else rows
