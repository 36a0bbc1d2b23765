"""Rows as keys: what each says, or why it is refused. Pure, so that a thread may read ahead."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from organisations_app.documents import DocumentError, Problem, brief, is_number
from sessions_app.drafts import SessionDraft
from sessions_app.tyk import LAST_SECOND, session_from_tyk
from tyk_migration.differences import MASTER_KEY
from tyk_migration.names import OWN, Named, NameRefused, identify, organisation_named_by
from tyk_migration.sources import Row, SourceError


@dataclass(frozen=True, slots=True)
class Given(Named):
    """One key as its row says it."""

    draft: SessionDraft


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is refused. `shown` is the key, as far as it may be shown."""

    place: str
    shown: str
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class KeyReader:
    """`organisation_id` owns keys that name no organisation; `hashed` as in names.identify."""

    organisation_id: str
    hashed: str | None

    def read(self, row: Row | SourceError) -> Given | Row | Refused:
        """Pure. A row is an organisation's."""
        if isinstance(row, SourceError):
            return Refused(row.place, "", [Problem("", row.reason)])
        if organisation_named_by(row.name) is not None:
            return row
        shown = ""
        try:
            identity = identify(row, self.hashed)
            shown = identity.shown
            given = Given(row, identity, session_from_tyk(row.content, organisation_id=self.organisation_id))
            if not given.draft.has_access:
                raise DocumentError([Problem("/access_rights", MASTER_KEY)])
            list(others_of(given))
        except NameRefused as error:
            return Refused(row.place, shown, [Problem("", str(error))])
        except DocumentError as error:
            return Refused(row.place, shown, list(error.problems))
        return given


def others_of(given: Given) -> Iterator[Given]:
    """Further secrets of an exported key. Raises NameRefused."""
    others = given.row.members.get("other_credentials")
    if given.identity.algorithm != OWN or not isinstance(others, list):
        return
    for other in others:
        if not isinstance(other, dict) or not isinstance(other.get("key_hash"), str):
            raise NameRefused(f"other_credentials must be objects with a key_hash, not {brief(other)}")
        row = Row(given.row.place, other["key_hash"], {}, "key_hash", other)
        yield Given(row, identify(row, None), given.draft)


def hint_in(row: Row) -> str:
    return str(row.members.get("hint", ""))[:24]


def moment(seconds: Any) -> datetime | None:
    """Of unix seconds in a document; None for anything else."""
    if is_number(seconds) and 0 < seconds <= LAST_SECOND:
        return datetime.fromtimestamp(seconds, UTC)
    return None
