"""Import of API definitions and policies. Each row is taken or refused by itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from django.core.exceptions import ValidationError
from django.db import IntegrityError

from organisations_app.documents import DocumentError, Problem, problems_of
from organisations_app.tyk_view import POINTERS
from policies_app.drafts import ApiDraft, PolicyDraft, api_draft, policy_draft, save_api_draft, save_policy_draft
from policies_app.models import Api, Policy
from policies_app.tyk import api_from_tyk, policy_from_tyk
from tyk_migration import differences, unused
from tyk_migration.differences import Surroundings
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row, Source, SourceError

APIS, POLICIES = "apis", "policies"
NO_ID = "has no id: name it with {}, so that a second import finds it again"
WRITTEN_MEANWHILE = "somebody else wrote the same at this moment; import it again"


class Draft(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def extra(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of row is read, compared and saved."""

    name: str
    read: Callable[[Row], Any]
    stored: Callable[[str], Any]
    save: Callable[[Any], object]
    differences: Callable[[Any, Row], Iterator[str]]
    id_member: str


def import_apis(rows: Source, report: Report, organisation_id: str) -> None:
    """API definitions; `organisation_id` owns those that name no organisation."""
    kind = Kind(
        APIS,
        lambda row: _api(row, organisation_id),
        stored_api,
        save_api_draft,
        lambda draft, _: differences.of_api(draft),
        "api_id",
    )
    _import(rows, report, kind)


def import_policies(rows: Source, report: Report, organisation_id: str, around: Surroundings) -> None:
    """Policies; `organisation_id` owns those that name no organisation."""
    kind = Kind(
        POLICIES,
        lambda row: policy_from_tyk(_owned(row.content, organisation_id), policy_id=row.name),
        stored_policy,
        save_policy_draft,
        lambda draft, row: differences.of_policy(draft, row.content, around),
        "id or _id",
    )
    _import(rows, report, kind)


def _api(row: Row, organisation_id: str) -> ApiDraft:
    if isinstance(row.content, dict) and ("openapi" in row.content or "x-tyk-api-gateway" in row.content):
        raise DocumentError(
            [Problem("", "is an OpenAPI definition: export it from Tyk in the classic form (GET /tyk/apis/{id})")]
        )
    return api_from_tyk(_owned(row.content, organisation_id))


def _owned(document: Any, organisation_id: str) -> Any:
    """Tyk's open source gateway does without organisations: what names none belongs to one all the same."""
    return (
        document if not isinstance(document, dict) or document.get("org_id") else document | {"org_id": organisation_id}
    )


def _import(rows: Source, report: Report, kind: Kind) -> None:
    report.begin(kind.name)
    for row in rows:
        if isinstance(row, SourceError):
            refuse(report, kind.name, row.place, "", [Problem("", row.reason)])
            continue
        try:
            draft = kind.read(row)
            if not draft.id:
                raise DocumentError([Problem("", NO_ID.format(kind.id_member))])
            outcome = _take(kind, draft)
        except (DocumentError, ValidationError, IntegrityError) as error:
            refuse(report, kind.name, row.place, row.name, problems_in(error))
            continue
        report.count(kind.name, outcome)
        _tell(report, kind, draft, row)


def _take(kind: Kind, draft: Any) -> Outcome:
    draft = replace(draft, name=draft.name or draft.id)
    stored = kind.stored(draft.id)
    if stored is not None and canonical(stored) == canonical(draft):
        return Outcome.UNCHANGED
    kind.save(draft)
    return Outcome.CHANGED if stored is not None else Outcome.CREATED


def _tell(report: Report, kind: Kind, draft: Draft, row: Row) -> None:
    who = f"{draft.id} ({row.place})"
    for what in dict.fromkeys(kind.differences(draft, row)):
        report.differ(what, f"{kind.name} {who}")
    for member, why in unused.members(kind.name, draft.extra):
        report.ignore(kind.name, member, why, draft.id)


def stored_api(api_id: str) -> ApiDraft | None:
    api = Api.objects.filter(pk=api_id).first()
    return api_draft(api) if api else None


def stored_policy(policy_id: str) -> PolicyDraft | None:
    policy = Policy.objects.prefetch_related("access").filter(pk=policy_id).first()
    return policy_draft(policy, policy.access.all()) if policy else None


def policies_by_id() -> dict[str, PolicyDraft]:
    """All policies, as keys refer to them."""
    policies = Policy.objects.prefetch_related("access")
    return {policy.pk: policy_draft(policy, policy.access.all()) for policy in policies}


# --- what all kinds share ---------------------------------------------------------------------------------------------


def canonical(draft: Any) -> Any:
    """For comparing: the order of access rights means nothing."""
    rights = getattr(draft, "rights", ())
    return replace(draft, rights=tuple(sorted(rights, key=lambda right: right.api_id))) if rights else draft


def refuse(report: Report, kind: str, place: str, name: str, problems: list[Problem]) -> None:
    """One row that is not taken, with everything that is wrong in it."""
    report.count(kind, Outcome.REFUSED)
    for problem in problems:
        report.refuse(kind, place, name, problem.detail, problem.pointer)


def problems_in(error: DocumentError | ValidationError | IntegrityError) -> list[Problem]:
    if isinstance(error, IntegrityError):
        return [Problem("", WRITTEN_MEANWHILE)]
    return list(error.problems) if isinstance(error, DocumentError) else problems_of(error, POINTERS)
