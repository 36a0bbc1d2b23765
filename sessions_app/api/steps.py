"""What views of keys and organisation sessions do alike: read a document, check what it refers to, call the store."""

from collections.abc import Callable
from typing import Any, TypeVar

from rest_framework.request import Request

from organisations_app.documents import Reader, refusal
from organisations_app.models import Application, Organisation
from organisations_app.rest.refusals import Conflict, Unavailable
from organisations_app.tenancy import within
from policies_app.api import check_apis
from policies_app.models import Policy
from sessions_app.drafts import SessionDraft
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key
from sessions_app.shapes import KeyShape

NO_ACCESS = "must name at least one API, or apply_policies a policy: a key without both opens nothing"
STORE_SILENT = "The counter store does not answer, so nothing was done. Try again."
ANSWERED_ONLY = frozenset(name for name, field in KeyShape().fields.items() if field.read_only)
Result = TypeVar("Result")


def split(data: Any) -> tuple[Any, int | None]:
    """The session's members, and the application. Members that are only answered are passed over."""
    reader = Reader(data)
    application_id = reader.whole("application_id", low=0, high=2**63 - 1, meaning=" (an application's id)")
    reader.finish()
    taken = ANSWERED_ONLY | {"application_id", "key"}
    return {name: value for name, value in data.items() if name not in taken}, application_id or None


def checked(draft: SessionDraft, bound_to: str | None, before: Key | None = None) -> SessionDraft:
    """Here, unlike in Tyk's dialect, organisation and APIs must exist; for who is bound to an organisation they and the
    policies must be its own. What the key had `before` may stay. Raises DocumentError.
    """
    if not draft.has_access:
        raise refusal("/access_rights", NO_ACCESS, "required")
    if not within(Organisation.objects.all(), bound_to, "pk").filter(pk=draft.organisation_id).exists():
        raise refusal("/org_id", f"{draft.organisation_id} is no organisation that exists", "does_not_exist")
    had = set(before.access.values_list("api_id", flat=True)) if before else set()
    check_apis({right.api_id for right in draft.rights} - had, bound_to)
    if bound_to is not None:
        had = set(before.key_policies.values_list("policy_id", flat=True)) if before else set()
        check_policies(set(draft.policies) - had, bound_to)
    return draft


def check_policies(policy_ids: set[str], bound_to: str) -> None:
    known = Policy.objects.filter(pk__in=policy_ids, organisation=bound_to).values_list("pk", flat=True)
    if unknown := sorted(policy_ids - set(known)):
        raise refusal("/apply_policies", f"names no policy that exists: {', '.join(unknown[:5])}", "unknown_policy")


def check_application(application_id: int | None, organisation_id: str) -> None:
    if application_id is None:
        return
    if not Application.objects.filter(pk=application_id, organisation=organisation_id).exists():
        raise refusal("/application_id", f"{application_id} is no application of {organisation_id}", "does_not_exist")


def living(key: Key) -> Key:
    """Raises Conflict for a revoked key."""
    if key.revoked_at is not None:
        raise Conflict(f"This key was revoked at {key.revoked_at.isoformat()}; make a new one.")
    return key


def reason_of(request: Request) -> str:
    reader = Reader(request.data)
    reason = reader.text("reason", longest=500)
    reader.refuse_rest()
    reader.finish()
    return reason


def stored(ask: Callable[[], Result]) -> Result:
    """What the counter store says. Raises Unavailable."""
    try:
        return ask()
    except StoreUnavailable:
        raise Unavailable(STORE_SILENT) from None
