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
        content = {
            "correction": self.id,
            "actor": self.by.name,
            "action": self.action,
            "subject": [self.subject.kind, self.subject.id, self.subject.organisation_id],
            "reason": self.reason,
            "remaining": self.remaining,
            "counter": limit.counter,
            "max": limit.max,
        }
        return Note(f"{self.id} {limit.counter}", json.dumps(content))


class Corrected(NamedTuple):
    """A counter that was corrected."""

    limit: QuotaLimit
    used_before: int


def enter(correction: Correction, corrected: Sequence[Corrected]) -> None:
    """Writes the audit entry; the notes go when it is committed."""
    done = [(json.loads(correction.note(each.limit).text), each.used_before) for each in corrected]
    audit.record_all(correction.by, [_act(correction, done)])
    transaction.on_commit(partial(_forget, [correction.note(each.limit).field for each in corrected]))


def enter_left_behind() -> int:
    """Writes the entries of corrections whose notes are still there; returns how many. Raises StoreUnavailable."""
    entered = 0
    for bucket, found in enumerate(notes.read_notes(sync_store())):
        old = [note for note in found if note.age_ms >= LEFT_BEHIND_MS]
        entered += sum(_enter_once(several) for several in _by_correction(old))
        if old:
            notes.forget_notes(sync_store(), bucket, [note.field for note in old])
    return entered


def _by_correction(found: Iterable[StoredNote]) -> Iterable[list[StoredNote]]:
    several: defaultdict[str, list[StoredNote]] = defaultdict(list)
    for note in found:
        several[note.field.partition(" ")[0]].append(note)
    return several.values()


@transaction.atomic
def _enter_once(found: Sequence[StoredNote]) -> bool:
    """Unless there is an entry: then only the note was not removed."""
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
    if entries.filter(after__correction=correction.id).exists():
        return False
    happened_at = datetime.fromtimestamp(min(note.at_ms for note in found) / 1000, UTC)
    audit.record_all(correction.by, [_act(correction, done, happened_at=happened_at.isoformat())])
    return True


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
