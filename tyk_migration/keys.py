"""Import of keys, in lots: read, matched with what is stored, then made or changed. Lines are streamed.

A key is found again by its credential, by the hash that it came with, or, once it has been used or rotated here, by its
id: that is derived from the name that it has in Tyk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import IntegrityError, reset_queries, transaction
from django.utils import timezone

from organisations_app import versions
from organisations_app.documents import DocumentError
from organisations_app.models import Organisation
from organisations_app.organisations import organisation_named
from policies_app.models import Policy
from sessions_app import strangers, tokens, tyk_hashes
from sessions_app.documents import new_holders
from sessions_app.drafts import SessionDraft, change_key, fill_key, key_access
from sessions_app.models import Credential, Key
from sessions_app.new_keys import NewKey, RowErrors, create_keys, read_all
from sessions_app.terms import HOLDER, Holder, holders_of
from tyk_migration import differences, unused
from tyk_migration.catalogue import canonical, problems_in, refuse
from tyk_migration.counters import CounterImport
from tyk_migration.differences import Surroundings
from tyk_migration.key_rows import Given, KeyReader, Refused, hint_in, moment, others_of
from tyk_migration.matching import key_drafts, stored_keys
from tyk_migration.names import OWN
from tyk_migration.organisations import import_organisation
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row, Source, read_ahead

KIND = "keys"
LOT = 1_000
LOOKS_HASHED = "the name looks like a hash, but is taken as the key itself: say --hashed if it is a hash"
WEAK_HASH = (
    "a murmur32 hash has 32 bits only: of {} such keys, one of about {:,} guesses opens one. Each is replaced by a "
    "strong digest when its key is first used: rotate those that are never used"
)


@dataclass(frozen=True, slots=True)
class KeyImport:
    """What all lots of one import share. `advance` is told how many rows are done."""

    report: Report
    around: Surroundings
    usage: CounterImport
    reader: KeyReader
    advance: Callable[[int], object]
    organisations: dict[str, Organisation] = field(default_factory=dict)  # with their sessions
    policies: dict[str, Policy] = field(default_factory=dict)  # that keys had so far, as far as they exist

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
        for row in read_ahead(map(self.reader.read, rows), LOT):
            if isinstance(row, Refused):
                refuse(self.report, KIND, row.place, row.shown, row.problems)
            elif isinstance(row, Row):
                import_organisation(row, self.report, self.around, self.usage)
                self.organisations.clear()
            else:
                if row.identity.token and tyk_hashes.algorithm_of(row.identity.token):
                    self.report.differ(LOOKS_HASHED, row.who)
                yield row

    # --- one lot ------------------------------------------------------------------------------------------------------

    def _import(self, lot: Sequence[Given]) -> None:
        stored = stored_keys([given.identity for given in lot])
        new = [given for given, key in zip(lot, stored, strict=True) if key is None]
        known = [(given, key) for given, key in zip(lot, stored, strict=True) if key is not None]
        self.usage.of_keys([*self._create(new), *self._change(known)])

    def _create(self, new: list[Given]) -> list[tuple[Given, Holder]]:
        """Answers with those that were made."""
        new = self._with_owners(new)
        self._read_policies(new)
        while new:
            rows = [new_key(given, self.organisations[given.draft.organisation_id]) for given in new]
            try:
                with transaction.atomic():
                    create_keys(rows, self.policies)
                    add_credentials(new)
                    versions.bump(*strangers.ALL_SCOPES)  # a bare id or a hash does not tell which shard asks for it
            except RowErrors as error:
                for place, wrong in error.errors.items():
                    refuse(self.report, KIND, new[place].row.place, new[place].identity.shown, problems_in(wrong))
                new = [given for place, given in enumerate(new) if place not in error.errors]
                continue
            except IntegrityError as error:
                return self._create_one_by_one(new, error)
            for given in new:
                self._count(given, Outcome.CREATED)
            return self._with_holders(new, rows)
        return []

    def _with_owners(self, new: Sequence[Given]) -> list[Given]:
        """Organisations that do not exist are made. Keys of one that is being deleted are refused."""
        refused: dict[str, ValidationError] = {}
        for organisation_id in {given.draft.organisation_id for given in new} - set(self.organisations):
            try:
                organisation_named(organisation_id)
            except ValidationError as error:
                refused[organisation_id] = error
                continue
            organisation = Organisation.objects.select_related("session").get(pk=organisation_id)
            self.organisations[organisation_id] = organisation
        for given in new:
            if wrong := refused.get(given.draft.organisation_id):
                refuse(self.report, KIND, given.row.place, given.identity.shown, problems_in(wrong))
        return [given for given in new if given.draft.organisation_id not in refused]

    def _read_policies(self, new: Sequence[Given]) -> None:
        named = {policy for given in new for policy in given.draft.policies}
        self.policies.update(read_all(Policy.objects.all(), named - set(self.policies)))

    def _with_holders(self, new: Sequence[Given], rows: Sequence[NewKey]) -> list[tuple[Given, Holder]]:
        named = {policy for row in rows for policy in row.policies}
        holders = new_holders(rows, {pk: self.policies[pk] for pk in named if pk in self.policies})
        return [(given, holders[row.key.pk]) for given, row in zip(new, rows, strict=True)]

    def _create_one_by_one(self, new: list[Given], error: IntegrityError) -> list[tuple[Given, Holder]]:
        """Somebody made one of these keys at this moment."""
        if len(new) == 1:
            refuse(self.report, KIND, new[0].row.place, new[0].identity.shown, problems_in(error))
            return []
        return [made for given in new for made in self._create([given])]

    def _change(self, known: Sequence[tuple[Given, Key]]) -> Iterator[tuple[Given, Holder]]:
        """Answers with those that are as their rows say now."""
        as_stored = key_drafts([key for _, key in known])
        taken = [(given, key) for given, key in known if self._change_one(given, key, as_stored[key.pk])]
        ids = [key.pk for _, key in taken]
        holders = holders_of(list(Key.objects.select_related(HOLDER).filter(pk__in=ids))) if ids else {}
        return ((given, holders[key.pk]) for given, key in taken if key.pk in holders)

    def _change_one(self, given: Given, key: Key, stored: SessionDraft) -> bool:
        if key.revoked_at is not None:
            self.report.differ("the key was revoked here: it stays so; delete it here to import it anew", given.who)
        if key.revoked_at is not None or canonical(stored) == canonical(given.draft):
            self._count(given, Outcome.UNCHANGED)
            return True
        try:
            change_key(key, given.draft)
        except (DocumentError, ValidationError, IntegrityError) as error:
            refuse(self.report, KIND, given.row.place, given.identity.shown, problems_in(error))
            return False
        self._count(given, Outcome.CHANGED)
        return True

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


def new_key(given: Given, organisation: Organisation) -> NewKey:
    identity, draft = given.identity, given.draft
    key = Key(id=identity.own_id, organisation=organisation)
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
            key_id=given.identity.own_id,
            digest=other.identity.hash,
            pepper=other.identity.pepper,
            hint=hint_in(other.row),
            expires_at=moment(other.row.members.get("expires_at")),
        )
        for given in new
        for other in others_of(given)
    )
