"""Keys as CSV. Cells that a spreadsheet would take for a formula are made harmless."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

from organisations_app import audit
from organisations_app.audit import Actor, Subject
from sessions_app.key_status import status_of
from sessions_app.models import Credential, Key
from sessions_app.terms import HOLDER, Holder, holders_of
from sessions_app.usage import QuotaUsage
from sessions_app.usage_bars import live_quotas
from sessions_app.usage_series import last_hours

MOST_EXPORTED = 100_000
KEYS_PER_LOT = 500
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    "id",
    "alias",
    "hint",
    "organisation",
    "application",
    "policies",
    "status",
    "used",
    "quota_max",
    "percent",
    "expires_at",
    "created_at",
    "last_used_hour",
)


class _Line:
    """What csv.writer writes to: it hands the line back."""

    def write(self, line: str) -> str:
        return line


def safe_cell(value: Any) -> str:
    """A text that a spreadsheet shows as it is: one that begins like a formula gets an apostrophe before it."""
    text = "" if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_answer(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """A file to download, which no cache keeps."""
    writer = csv.writer(_Line())
    lines = (writer.writerow([safe_cell(cell) for cell in row]) for row in (columns, *rows))
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


def export(keys: QuerySet[Key], by: Actor, reason: str) -> StreamingHttpResponse:
    """Keys with their live usage; an entry in the audit says who took how many, and why."""
    ids = list(keys.values_list("pk", flat=True))
    audit.record(by, "export", Subject("key", "", ""), reason, after={"keys": len(ids)})
    return csv_answer("keys.csv", COLUMNS, _rows(ids))


def _rows(ids: Sequence[str]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(ids), KEYS_PER_LOT):
        yield from _lot(ids[begin : begin + KEYS_PER_LOT])


def _lot(ids: Sequence[str]) -> Iterator[Sequence[Any]]:
    found = Key.objects.select_related(HOLDER, "application").in_bulk(ids)
    keys = [found[key_id] for key_id in ids if key_id in found]
    holders, last = holders_of(keys), last_hours(ids)
    usage = live_quotas(keys, holders)
    hints = dict(Credential.objects.filter(key__in=ids).order_by("created_at", "id").values_list("key_id", "hint"))
    for key in keys:
        quotas = None if usage is None else usage[key.pk]
        yield _row(key, holders[key.pk], hints.get(key.pk, ""), quotas, last.get(key.pk))


def _row(key: Key, holder: Holder, hint: str, quotas: list[QuotaUsage] | None, last: datetime | None) -> Sequence[Any]:
    """Of several quotas the one that is used up the most, as in the list; unknown while the store does not answer."""
    fullest = max(quotas, key=lambda quota: quota.used / quota.max) if quotas else None
    unknown = "unknown" if quotas is None else "unlimited"
    return (
        key.pk,
        key.alias,
        hint,
        key.organisation.name,
        key.application.name if key.application else "",
        " ".join(holder.policy_names.values()),
        status_of(holder, timezone.now()).value,
        *((fullest.used, fullest.max, fullest.used * 100 // fullest.max) if fullest else (unknown, unknown, "")),
        key.expires_at,
        key.created_at,
        last,
    )
