"""Import of keys, in lots: read, matched with what is stored, then made or changed. Lines are streamed.

A key is found again by its credential, by the hash that it came with, or, once it has been used or rotated here, by its
id: that is derived from the name that it has in Tyk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, reset_queries, transaction
from django.utils import timezone

from organisations_app import versions
from organisations_app.documents import DocumentError, Problem, brief, is_number
from organisations_app.organisations import organisation_named
from sessions_app import strangers, tokens, tyk_hashes
from sessions_app.drafts import SessionDraft, change_key, fill_key, key_access
from sessions_app.models import Credential, Key
from sessions_app.new_keys import NewKey, RowErrors, create_keys
from sessions_app.tyk import LAST_SECOND, session_from_tyk
from tyk_migration import differences, unused
from tyk_migration.catalogue import canonical, problems_in, refuse
from tyk_migration.differences import MASTER_KEY, Surroundings
from tyk_migration.matching import key_drafts, key_id, stored_keys
from tyk_migration.names import OWN, Identity, NameRefused, identify, organisation_named_by
from tyk_migration.organisations import import_organisation
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row, Source, SourceError

KIND = "keys"
LOT = 1_000
LOOKS_HASHED = "the name looks like a hash, but is taken as the key itself: say --hashed if it is a hash"
WEAK_HASH = (
    "a murmur32 hash has 32 bits only: of {} such keys, one of about {:,} guesses opens one. Each is replaced by a "
    "strong digest when its key is first used: rotate those that are never used"
)


@dataclass(frozen=True, slots=True)
class Given:
    """One key as its row says it."""

    row: Row
    identity: Identity
    draft: SessionDraft

    @property
    def who(self) -> str:
        return f"key {self.identity.shown} ({self.row.place})"


@dataclass(frozen=True, slots=True)
class KeyImport:
    """What all lots of one import share. `advance` is told how many rows are done."""

    report: Report
    around: Surroundings
    organisation_id: str
    hashed: str | None
    advance: Callable[[int], object]
    organisations: set[str] = field(default_factory=set)  # that are known to exist

    def run(self, rows: Source) -> None:
        self.report.begin(KIND)
        for lot in lots(self._readable(rows)):
            self._import(lot)
            self.advance(len(lot))
            reset_queries()  # in development, Django keeps the last statements, however long
        weak = self.report.differences.get(WEAK_HASH)
        if weak:
            self.report.differences[WEAK_HASH.format(weak.count, 2**32 // weak.count)] = weak
            del self.report.differences[WEAK_HASH]

    def _readable(self, rows: Source) -> Iterator[Given]:
        """Rows that can be read as keys; others are refused. Sessions of organisations among them are imported."""
        for row in rows:
            if isinstance(row, SourceError):
                refuse(self.report, KIND, row.place, "", [Problem("", row.reason)])
            elif organisation_named_by(row.name) is not None:
                import_organisation(row, self.report, self.around)
            elif given := self._given(row):
                yield given

    def _given(self, row: Row) -> Given | None:
        shown = ""
        try:
            identity = identify(row, self.hashed)
            shown = identity.shown
            draft = session_from_tyk(row.content, organisation_id=self.organisation_id)
            if not draft.has_access:
                raise DocumentError([Problem("/access_rights", MASTER_KEY)])
            if draft.policies and not any(policy in self.around.policies for policy in draft.policies):
                raise DocumentError([Problem("/apply_policies", f"names no policy that exists: {draft.policies[0]}")])
            given = Given(row, identity, draft)
            list(others_of(given))
        except NameRefused as error:
            refuse(self.report, KIND, row.place, shown, [Problem("", str(error))])
        except DocumentError as error:
            refuse(self.report, KIND, row.place, shown, list(error.problems))
        else:
            if identity.token and tyk_hashes.algorithm_of(identity.token):
                self.report.differ(LOOKS_HASHED, given.who)
            return given
        return None

    # --- one lot ------------------------------------------------------------------------------------------------------

    def _import(self, lot: Sequence[Given]) -> None:
        stored = stored_keys([given.identity for given in lot])
        self._create([given for given, key in zip(lot, stored, strict=True) if key is None])
        known = [(given, key) for given, key in zip(lot, stored, strict=True) if key is not None]
        as_stored = key_drafts([key for _, key in known])
        for given, key in known:
            self._change(given, key, as_stored[key.pk])

    def _create(self, new: list[Given]) -> None:
        for organisation_id in {given.draft.organisation_id for given in new} - self.organisations:
            organisation_named(organisation_id)
            self.organisations.add(organisation_id)
        while new:
            try:
                with transaction.atomic():
                    create_keys([new_key(given) for given in new])
                    add_credentials(new)
                    versions.bump(*strangers.ALL_SCOPES)  # a bare id or a hash does not tell which shard asks for it
            except RowErrors as error:
                for place, wrong in error.errors.items():
                    refuse(self.report, KIND, new[place].row.place, new[place].identity.shown, problems_in(wrong))
                new = [given for place, given in enumerate(new) if place not in error.errors]
                continue
            except IntegrityError as error:
                self._create_one_by_one(new, error)
                return
            for given in new:
                self._count(given, Outcome.CREATED)
            return

    def _create_one_by_one(self, new: list[Given], error: IntegrityError) -> None:
        """Somebody made one of these keys at this moment."""
        if len(new) == 1:
            refuse(self.report, KIND, new[0].row.place, new[0].identity.shown, problems_in(error))
            return
        for given in new:
            self._create([given])

    def _change(self, given: Given, key: Key, stored: SessionDraft) -> None:
        if key.revoked_at is not None:
            self.report.differ("the key was revoked here: it stays so; delete it here to import it anew", given.who)
        if key.revoked_at is not None or canonical(stored) == canonical(given.draft):
            self._count(given, Outcome.UNCHANGED)
            return
        try:
            change_key(key, given.draft)
        except (DocumentError, ValidationError, IntegrityError) as error:
            refuse(self.report, KIND, given.row.place, given.identity.shown, problems_in(error))
            return
        self._count(given, Outcome.CHANGED)

    def _count(self, given: Given, outcome: Outcome) -> None:
        self.report.count(KIND, outcome)
        for what in dict.fromkeys(differences.of_key(given.draft, given.row.content, self.around, timezone.now())):
            self.report.differ(what, given.who)
        if given.identity.algorithm == "murmur32":
            self.report.differ(WEAK_HASH, given.who)
        for member, why in unused.members(KIND, given.draft.extra):
            self.report.ignore(KIND, member, why, given.who)


def lots(rows: Iterator[Given]) -> Iterator[list[Given]]:
    """Up to LOT rows each; a key that comes again begins another lot, where it is known already."""
    lot: list[Given] = []
    names: set[str] = set()
    for given in rows:
        if len(lot) >= LOT or given.identity.name in names:
            yield lot
            lot, names = [], set()
        lot.append(given)
        names.add(given.identity.name)
    if lot:
        yield lot


# --- making -----------------------------------------------------------------------------------------------------------


def new_key(given: Given) -> NewKey:
    identity, draft = given.identity, given.draft
    key = Key(id=key_id(identity), organisation_id=draft.organisation_id)
    fill_key(key, draft)
    credential = None
    if identity.algorithm == OWN:
        credential = (identity.hash, identity.pepper, hint_in(given.row))
    elif identity.algorithm:
        credential = tokens.hashed_credential(identity.algorithm, identity.hash)
    return NewKey(
        key,
        key_access(draft.rights),
        draft.policies,
        token=identity.token or None,
        credential=credential,
        keeps_expiry=True,
    )


def add_credentials(new: Sequence[Given]) -> None:
    """Of an export: a key may have had several secrets, and some of them an end."""
    ending = {given.identity.hash: end for given in new if (end := moment(given.row.members.get("expires_at")))}
    for digest, end in ending.items():
        Credential.objects.filter(digest=digest).update(expires_at=end)
    Credential.objects.bulk_create(
        Credential(
            key_id=key_id(given.identity),
            digest=other.identity.hash,
            pepper=other.identity.pepper,
            hint=hint_in(other.row),
            expires_at=moment(other.row.members.get("expires_at")),
        )
        for given in new
        for other in others_of(given)
    )


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
