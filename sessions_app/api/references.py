"""What keys refer to. Here, unlike in Tyk's dialect, organisation, APIs and application must exist."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from organisations_app.documents import refusal
from organisations_app.models import Application, Organisation
from organisations_app.tenancy import within
from policies_app.api import known_apis, refuse_unknown_apis
from sessions_app.drafts import Known, SessionDraft, WantedKey, read_policies
from sessions_app.new_keys import read_all

NO_ACCESS = "must name at least one API, or apply_policies a policy: a key without both opens nothing"
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class References:
    """Of what keys refer to, that which exists and which their sender may see. `applications` are ids with the id of
    their organisation. `bound_to`: the organisation whose policies alone may be applied; None is any, and an unknown
    one among several is skipped (rule 3.6).
    """

    known: Known
    apis: Set[str]
    applications: Mapping[int, str]
    bound_to: str | None

    def check(self, wanted: WantedKey, had_apis: Set[str] = NONE, had_policies: Set[str] = NONE) -> None:
        """What the key `had` before may stay. Raises DocumentError."""
        draft = wanted.session
        if not draft.has_access:
            raise refusal("/access_rights", NO_ACCESS, "required")
        if draft.organisation_id not in self.known.organisations:
            raise refusal("/org_id", f"{draft.organisation_id} is no organisation that exists", "does_not_exist")
        refuse_unknown_apis({right.api_id for right in draft.rights} - had_apis - self.apis)
        self._check_policies(draft, set(draft.policies) - had_policies)
        self._check_application(wanted.application_id, draft.organisation_id)

    def _check_policies(self, draft: SessionDraft, added: set[str]) -> None:
        """One that does not exist is skipped (rule 3.6), but nobody means a key that opens nothing. What a bound token
        may not see looks like what does not exist.
        """
        known = self.known.policies
        if self.bound_to is not None:
            known = {pk: policy for pk, policy in known.items() if policy.organisation_id == self.bound_to}
        unknown = sorted(added - set(known))
        if unknown and (self.bound_to is not None or not any(policy in known for policy in draft.policies)):
            raise refusal("/apply_policies", f"names no policy that exists: {', '.join(unknown[:5])}", "unknown_policy")

    def _check_application(self, application_id: int | None, organisation_id: str) -> None:
        if application_id is not None and self.applications.get(application_id) != organisation_id:
            words = f"{application_id} is no application of {organisation_id}"
            raise refusal("/application_id", words, "does_not_exist")


def read_references(wanted: Iterable[WantedKey], bound_to: str | None) -> References:
    """In at most four queries, however many are wanted."""
    several = list(wanted)
    return References(
        known=Known(_organisations(several, bound_to), read_policies(several)),
        apis=known_apis({right.api_id for each in several for right in each.session.rights}, bound_to),
        applications=_applications(several),
        bound_to=bound_to,
    )


def _organisations(wanted: Sequence[WantedKey], bound_to: str | None) -> dict[str, Organisation]:
    """With their sessions, which the answer needs."""
    visible = within(Organisation.objects.living().select_related("session"), bound_to, "pk")
    return read_all(visible, {each.session.organisation_id for each in wanted})


def _applications(wanted: Sequence[WantedKey]) -> dict[int, str]:
    named = {each.application_id for each in wanted if each.application_id is not None}
    if not named:
        return {}
    return dict(Application.objects.filter(pk__in=named).values_list("pk", "organisation_id"))
