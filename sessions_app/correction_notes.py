"""An effective correction always gets its audit entry (rules 2.10, 2.12).

The counter store and the database have no transaction in common. So the verb leaves a note in the store, in the same
atomic step; whoever corrected writes the entry and then removes the note. What a crash, a transaction that was undone
or a call that timed out leaves behind is entered by a sweep.
"""

import json
import logging
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from django.db import transaction

from organisations_app import audit
from organisations_app.audit import Act, Actor, Subject
from organisations_app.models import AuditEntry
from sessions_app.engine import names, notes
from sessions_app.engine.notes import StoredNote
from sessions_app.engine.types import Note, QuotaLimit, StoreUnavailable
from sessions_app.models import KeyJobItem
from sessions_app.store import sync_store

log = logging.getLogger(__name__)

RESET, SET_REMAINING = "reset-quota", "set-remaining"
# Until then the entry may still be on its way: no request takes so long.
LEFT_BEHIND_MS = 120_000


@dataclass(frozen=True, slots=True)
class Correction:
    """One act of one person or program on one or several counters. `remaining` of set-remaining only."""

    by: Actor
    action: str
    subject: Subject
    reason: str
    remaining: int | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(12))

    def note(self, limit: QuotaLimit) -> Note:
        """For one of the counters."""
        return Note(f"{self.id} {limit.counter}", json.dumps(self.content(limit)))

    def content(self, limit: QuotaLimit) -> dict[str, Any]:
        return {
            "correction": self.id,
            "actor": self.by.name,
            "action": self.action,
            "subject": [self.subject.kind, self.subject.id, self.subject.organisation_id],
            "reason": self.reason,
            "remaining": self.remaining,
            "counter": limit.counter,
            "max": limit.max,
        }


class Corrected(NamedTuple):
    """A counter that was corrected."""

    limit: QuotaLimit
    used_before: int


@dataclass(frozen=True, slots=True)
class CarriedOut:
    """What a correction did in the store; the audit has still to be told."""

    correction: Correction
    corrected: Sequence[Corrected]

    @property
    def used_before(self) -> int:
        return sum(each.used_before for each in self.corrected)


def enter(several: Sequence[CarriedOut]) -> None:
    """Writes the audit entries; the notes go when they are committed."""
    acts: defaultdict[Actor, list[Act]] = defaultdict(list)
    for each in several:
        done = [(each.correction.content(one.limit), one.used_before) for one in each.corrected]
        acts[each.correction.by].append(_act(each.correction, done))
    for by, of_actor in acts.items():
        audit.record_all(by, of_actor)
    noted = [each.correction.note(one.limit).field for each in several for one in each.corrected]
    transaction.on_commit(partial(_forget, noted))


def enter_left_behind() -> int:
    """Writes the entries of corrections whose notes are still there; returns how many. Raises StoreUnavailable.

    Those of a job's open items are left to the job: it will come to them again.
    """
    entered = 0
    for bucket, found in enumerate(notes.read_notes(sync_store())):
        old = _of_nobody([note for note in found if note.age_ms >= LEFT_BEHIND_MS])
        entered += sum(_enter_once(several) for several in _by_correction(old))
        if old:
            notes.forget_notes(sync_store(), bucket, [note.field for note in old])
    return entered


def _of_nobody(found: Sequence[StoredNote]) -> list[StoredNote]:
    """Without those of items that a job has still to do."""
    items = {note: KeyJobItem.of_correction(_correction_id(note)) for note in found}
    asked = [pk for pk in items.values() if pk is not None]
    still_open = set(KeyJobItem.objects.filter(pk__in=asked).values_list("pk", flat=True)) if asked else set()
    return [note for note, item in items.items() if item not in still_open]


def _by_correction(found: Iterable[StoredNote]) -> Iterable[list[StoredNote]]:
    several: defaultdict[str, list[StoredNote]] = defaultdict(list)
    for note in found:
        several[_correction_id(note)].append(note)
    return several.values()


def _correction_id(note: StoredNote) -> str:
    return note.field.partition(" ")[0]


@transaction.atomic
def _enter_once(found: Sequence[StoredNote]) -> bool:
    """Unless there is an entry of these counters: then only the notes were not removed."""
    done = [(json.loads(note.text), note.used_before) for note in found]
    said = done[0][0]
    kind, subject_id, organisation_id = said["subject"]
    correction = Correction(
        by=Actor(said["actor"]),
        action=said["action"],
        subject=Subject(kind, subject_id, organisation_id),
        reason=said["reason"],
        remaining=said["remaining"],
        id=said["correction"],
    )
    entries = AuditEntry.objects.filter(subject_kind=kind, subject_id=subject_id, action=correction.action)
    told = {counter for entry in entries.filter(after__correction=correction.id) for counter in _counters_in(entry)}
    done = [(content, used_before) for content, used_before in done if content["counter"] not in told]
    if not done:
        return False
    happened_at = datetime.fromtimestamp(min(note.at_ms for note in found) / 1000, UTC)
    audit.record_all(correction.by, [_act(correction, done, happened_at=happened_at.isoformat())])
    return True


def _counters_in(entry: AuditEntry) -> Iterable[str]:
    return entry.after["used"] if entry.action == RESET else [entry.after["counter"]]


def _act(correction: Correction, done: Sequence[tuple[Mapping[str, Any], int]], **more: str) -> Act:
    """`done` are the contents of the notes with the units used before."""
    if correction.action == RESET:
        used = {said["counter"]: used_before for said, used_before in done}
        before: dict[str, Any] = {"used": used}
        after: dict[str, Any] = {"used": dict.fromkeys(used, 0)}
    else:
        [(said, used_before)] = done
        before = {"quota_remaining": max(0, said["max"] - used_before), "counter": said["counter"]}
        after = {"quota_remaining": correction.remaining, "counter": said["counter"]}
    after |= {"correction": correction.id, **more}
    return Act(correction.action, correction.subject, correction.reason, before, after)


def _forget(fields: Sequence[str]) -> None:
    by_bucket: defaultdict[int, list[str]] = defaultdict(list)
    for each in fields:
        by_bucket[names.bucket_of_counter(each.partition(" ")[2])].append(each)
    try:
        for bucket, several in by_bucket.items():
            notes.forget_notes(sync_store(), bucket, several)
    except StoreUnavailable as error:
        log.warning("notes of a correction stay until they are swept: %s", error)
