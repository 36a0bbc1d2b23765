"""`/api/v1/policies/{id}/preview`: what a change of a policy would have done, before it is made."""

from dataclasses import asdict

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.documents import refusal
from organisations_app.rest.resources import ScopedView
from organisations_app.tenancy import within
from policies_app.api import checked_policy, policy_with
from policies_app.models import Policy
from policies_app.shapes import ChangedPolicyShape
from sessions_app import whatif
from sessions_app.api.steps import stored
from sessions_app.preview_shapes import PreviewShape

DAYS = OpenApiParameter(
    "days", int, description=f"How many days are counted again: 1 to {whatif.MOST_DAYS}, {whatif.DAYS} unless told."
)


class PolicyPreviewView(ScopedView):
    """What a changed policy would have denied. Needs the scopes policies:read and usage:read."""

    reads = ("policies", "usage")
    answers_once = False
    may_refuse = (503,)

    @extend_schema(
        operation_id="policies_preview", parameters=[DAYS], request=ChangedPolicyShape, responses=PreviewShape
    )
    def post(self, request: Request, policy_id: str) -> Response:
        """The members that would be changed, as in PATCH. Nothing is stored, nothing is counted.

        Rates cannot be replayed from hourly usage; `exactness` says how far the numbers can be trusted.
        """
        policies = within(Policy.objects.prefetch_related("access"), self.organisations, "organisation")
        policy = policies.filter(pk=policy_id).first()
        if policy is None:
            raise NotFound("There is no such policy.")
        changed = checked_policy(policy_with(policy, request.data), self.organisations, policy)
        now, days, organisations = timezone.now(), days_of(request), self.organisations
        return Response(asdict(stored(lambda: whatif.preview(policy, changed, now, days, organisations=organisations))))


def days_of(request: Request) -> int:
    """Raises DocumentError."""
    if unknown := sorted(set(request.query_params) - {"days"}):
        raise refusal(f"/{unknown[0]}", "is no parameter here; known is days", "unknown")
    text = request.query_params.get("days", str(whatif.DAYS))
    if not text.isdecimal() or len(text) > 2 or not 1 <= int(text) <= whatif.MOST_DAYS:
        raise refusal("/days", f"must be a whole number from 1 to {whatif.MOST_DAYS}")
    return int(text)
