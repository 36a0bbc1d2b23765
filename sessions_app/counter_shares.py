"""Who counts on a counter together with others: a custom rate limit key's counter bears a digest, which does not tell
(section 5).

Noted with the first requests of each hour, when usage by the hour gets its rows. A key whose pattern or metadata has
changed is noted anew in the next hour that it is used in.
"""

from collections.abc import Collection
from datetime import datetime

from django.db.models import OuterRef, QuerySet, Subquery

from sessions_app import grants, usage
from sessions_app.models import CounterShare, Key, UsageSnapshot
from sessions_app.queries import with_patterns
from sessions_app.terms import HOLDER, holders_of

ROWS_PER_STATEMENT = 500


def note(key_ids: Collection[str], seen_at: datetime) -> set[str]:
    """Notes that these keys were seen on the counters that they share now, and no longer on others. Returns the
    counters that a key was not known to share before.
    """
    stored = {(row.key_id, row.counter): row for row in CounterShare.objects.filter(key__in=key_ids)}
    patterned = with_patterns(Key.objects.select_related(HOLDER).filter(pk__in=key_ids))
    shares = {
        (holder.key.pk, counter): CounterShare(
            organisation_id=holder.key.organisation_id, key=holder.key, counter=counter, seen_at=seen_at
        )
        for holder in holders_of(list(patterned)).values()
        if grants.custom_subject(holder) is not None
        for counter in usage.quota_counters(holder)
    }
    CounterShare.objects.filter(pk__in=[row.pk for name, row in stored.items() if name not in shares]).delete()
    CounterShare.objects.bulk_create(
        [shares[name] for name in sorted(shares)],
        batch_size=ROWS_PER_STATEMENT,
        update_conflicts=True,
        unique_fields=["key", "counter"],
        update_fields=["seen_at"],
    )
    return {counter for key_id, counter in shares if (key_id, counter) not in stored}


def with_newest(counters: QuerySet[UsageSnapshot]) -> QuerySet[UsageSnapshot]:
    """With `sharer`, the id of the living key that was seen last on the counter, or None. A look at an index for each
    counter, however many share it.
    """
    shares = CounterShare.objects.filter(counter=OuterRef("counter"), key__revoked_at=None).order_by("-seen_at")
    return counters.annotate(sharer=Subquery(shares.values("key_id")[:1]))
