"""`/api/v1/policies/{id}/preview`: what a change of a policy would have done, before it is made. For many keys a job
counts it, which can be asked for at `/api/v1/policies/previews/{id}`.
"""

from dataclasses import asdict
from typing import Any

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.audit import Actor
from organisations_app.documents import refusal
from organisations_app.models import Job
from organisations_app.rest.authentication import actor_of
from organisations_app.rest.refusals import TooSoon
from organisations_app.rest.resources import ScopedView
from organisations_app.tenancy import within
from policies_app.api import checked_policy, policy_with
from policies_app.models import Policy
from policies_app.shapes import ChangedPolicyShape
from sessions_app import what_if_jobs, whatif
from sessions_app.api.steps import stored
from sessions_app.preview_shapes import PreviewJobShape, PreviewShape

DAYS = OpenApiParameter(
    "days", int, description=f"How many days are counted again: 1 to {whatif.MOST_DAYS}, {whatif.DAYS} unless told."
)
WAIT_SECONDS = 10
STOPPED = "It was stopped."  # not by whom: that is the staff's
LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[202], description="Where to ask how far it is."
)


class PolicyPreviewView(ScopedView):
    """What a changed policy would have denied. Needs the scopes policies:read and usage:read."""

    reads = ("policies", "usage")
    answers_once = False
    may_refuse = (429, 503)

    @extend_schema(
        operation_id="policies_preview",
        parameters=[DAYS, LOCATION],
        request=ChangedPolicyShape,
        responses={200: PreviewShape, 202: PreviewJobShape},
    )
    def post(self, request: Request, policy_id: str) -> Response:
        """The members that would be changed, as in PATCH. The policy stays as it is.

        What takes longer than a request should is counted by a worker: then the answer is 202, and `Location` says
        where to ask for it.

        Rates cannot be replayed from hourly usage; `exactness` says how far the numbers can be trusted.
        """
        policies = within(Policy.objects.prefetch_related("access"), self.organisations, "organisation")
        policy = policies.filter(pk=policy_id).first()
        if policy is None:
            raise NotFound("There is no such policy.")
        changed = checked_policy(policy_with(policy, request.data), self.organisations, policy)
        asked = whatif.what_if(policy, changed, timezone.now(), days_of(request), organisations=self.organisations)
        try:
            return Response(asdict(stored(lambda: whatif.preview(asked))))
        except whatif.TooMuch:
            job = _started(policy, asked, actor_of(request))
            location = request.build_absolute_uri(reverse("api-policy-preview", args=[job.pk]))
            return Response(document_of(job), status=status.HTTP_202_ACCEPTED, headers={"Location": location})


def _started(policy: Policy, asked: whatif.WhatIf, by: Actor) -> Job:
    try:
        return what_if_jobs.start(policy, asked, by)
    except what_if_jobs.Busy as error:
        raise TooSoon(str(error), WAIT_SECONDS) from None


class PolicyPreviewJobView(ScopedView):
    """A preview that a worker counts. Needs the scopes policies:read and usage:read."""

    reads = ("policies", "usage")

    @extend_schema(operation_id="policies_previews_retrieve", responses=PreviewJobShape)
    def get(self, request: Request, preview_id: str) -> Response:
        """How far a preview is that was answered with 202, and `preview` when its `status` is finished. Kept for 30
        days.
        """
        job = Job.objects.filter(act=what_if_jobs.ACT, pk=preview_id).first()
        if job is None or not what_if_jobs.may_see(job, self.organisations):
            raise NotFound("There is no such preview.")
        return Response(document_of(job))


def document_of(job: Job) -> dict[str, Any]:
    """As PreviewJobShape."""
    found = what_if_jobs.answer_of(job)
    return {
        "id": job.pk,
        "policy_id": job.given["policy"],
        "status": job.status,
        "keys_done": job.done,
        "keys_total": job.total,
        "begun_at": job.created_at,
        "finished_at": job.finished_at,
        "problem": STOPPED if job.status == "stopped" else job.ended_early,
        "preview": asdict(found) if found else None,
    }


def days_of(request: Request) -> int:
    """Raises DocumentError."""
    if unknown := sorted(set(request.query_params) - {"days"}):
        raise refusal(f"/{unknown[0]}", "is no parameter here; known is days", "unknown")
    text = request.query_params.get("days", str(whatif.DAYS))
    if not text.isdecimal() or len(text) > 2 or not 1 <= int(text) <= whatif.MOST_DAYS:
        raise refusal("/days", f"must be a whole number from 1 to {whatif.MOST_DAYS}")
    return int(text)
