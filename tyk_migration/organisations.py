"""Import of organisation sessions. An organisation that does not exist is made."""

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from organisations_app.documents import DocumentError, Problem
from sessions_app.drafts import SessionDraft, org_session_draft, save_org_session
from sessions_app.models import OrgSession
from sessions_app.tyk import org_session_from_tyk
from tyk_migration import differences, unused
from tyk_migration.catalogue import problems_in, refuse
from tyk_migration.counters import CounterImport
from tyk_migration.differences import Surroundings
from tyk_migration.names import KEY_PREFIX, organisation_named_by
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row, Source, SourceError

KIND = "organisations"


def import_organisations(rows: Source, report: Report, around: Surroundings, usage: CounterImport) -> None:
    """Organisation sessions; names may have Tyk's prefix `orgkey.`."""
    report.begin(KIND)
    for row in rows:
        if isinstance(row, SourceError):
            refuse(report, KIND, row.place, "", [Problem("", row.reason)])
        elif row.name.startswith(KEY_PREFIX):
            refuse(report, KIND, row.place, "", [Problem("", "is a key's session: give it with --keys")])
        else:
            import_organisation(row, report, around, usage)


def import_organisation(row: Row, report: Report, around: Surroundings, usage: CounterImport) -> None:
    """An organisation's session, and how much of its quota is used."""
    organisation_id = organisation_named_by(row.name) or row.name
    try:
        draft = org_session_from_tyk(row.content, organisation_id)
        outcome = _take(draft)
    except (DocumentError, ValidationError, IntegrityError) as error:
        refuse(report, KIND, row.place, organisation_id, problems_in(error))
        return
    report.count(KIND, outcome)
    for what in dict.fromkeys(differences.of_organisation(draft, row.content, around)):
        report.differ(what, f"organisation {organisation_id} ({row.place})")
    for member, why in unused.members(KIND, draft.extra):
        report.ignore(KIND, member, why, organisation_id)
    usage.of_organisation(row)


def _take(draft: SessionDraft) -> Outcome:
    stored = OrgSession.objects.filter(organisation=draft.organisation_id).first()
    if stored is not None and org_session_draft(stored) == draft:
        return Outcome.UNCHANGED
    save_org_session(draft)
    return Outcome.CHANGED if stored is not None else Outcome.CREATED
