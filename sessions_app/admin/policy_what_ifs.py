"""What if, on the page of a policy: what the form as it stands would have denied. For many keys a worker counts it: the
draft is kept with the job, and comes back from its page.
"""

from copy import copy
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.forms import BaseForm, all_valid
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from organisations_app.admin_confirmation import actor_of
from organisations_app.admin_jobs import JobPages
from organisations_app.documents import DocumentError
from organisations_app.models import Job
from organisations_app.tenancy import organisations_for
from policies_app.drafts import PolicyDraft
from policies_app.models import Policy
from policies_app.tyk import policy_from_tyk, policy_to_tyk
from sessions_app import what_if_jobs
from sessions_app.engine.types import StoreUnavailable
from sessions_app.usage_charts import draw_chart
from sessions_app.whatif import Preview, TooMuch, WhatIf, preview, what_if

DRAFT = "_draft"  # in a posted form: the job that it was kept with, to be shown again
BESIDE = "beside"  # in the address of a job's page: it is shown beside the form
KEPT_OUT = ("csrfmiddlewaretoken", DRAFT)
IS_DRAFT = "This is the draft of the what-if, as you left it. Nothing is saved yet."


class PolicyWhatIfs(JobPages):
    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.what_if))
        return [path("<path:object_id>/what-if/", view, name="policies_app_policy_what_if"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        url = reverse("admin:policies_app_policy_what_if", args=[quote(unquote(object_id))])
        context = {**(extra_context or {}), "what_if_url": url}
        given = request.POST.get(DRAFT, "")
        if given.isdecimal() and (job := self._visible(request).filter(act=what_if_jobs.ACT, pk=given[:18]).first()):
            context["what_if_job_url"] = self.page_of_job(job)
            messages.info(request, IS_DRAFT)
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def what_if(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Posted: the whole form, which is not saved. For many keys it is kept with a job, whose progress is shown."""
        policy = self.viewed(request, object_id)
        try:
            draft, organisations = self._draft(request, policy), organisations_for(request.user)
            asked = what_if(policy, draft, timezone.now(), organisations=organisations)
            context = _told(preview(asked))
        except TooMuch:
            context = self._started(request, policy, asked)
        except (DocumentError, _Refused) as error:
            context = {"problem": str(error)}
        except StoreUnavailable:
            context = {"problem": "The counter store does not answer, so nobody's usage is known. Try again."}
        return TemplateResponse(request, "sessions_app/admin/policy_what_if.html", context)

    def _started(self, request: HttpRequest, policy: Policy, asked: WhatIf) -> dict[str, Any]:
        try:
            job = what_if_jobs.start(policy, asked, actor_of(request), _typed(request))
        except what_if_jobs.Busy as error:
            return {"problem": str(error)}
        return {"job_url": self.page_of_job(job)}

    def told_of(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """The answer, and the way back to the form. Confined staff see what was asked of their organisations alone."""
        if job.act != what_if_jobs.ACT:
            return {}
        policy, confined_to = self._policy_of(request, job), organisations_for(request.user)
        if not what_if_jobs.may_see(job, confined_to) or (policy is None and confined_to is not None):
            raise Http404
        found = what_if_jobs.answer_of(job)
        context: dict[str, Any] = {"found_template": "sessions_app/admin/policy_what_if_job.html"}
        if job.given["form"] and policy is not None and self.has_change_permission(request, policy):
            form_url = reverse("admin:policies_app_policy_change", args=[quote(policy.pk)])
            context |= {"form_url": form_url, "typed": [*job.given["form"], (DRAFT, job.pk)]}
        return context | (_told(found) if found else {}) | {"is_beside_form": BESIDE in request.GET}

    def _policy_of(self, request: HttpRequest, job: Job) -> Policy | None:
        policy: Policy | None = self.get_queryset(request).filter(pk=job.given["policy"]).first()
        return policy

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """A draft that comes back is shown, never saved."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (_ShownAgain, form), {}) if DRAFT in request.POST else form

    def _draft(self, request: HttpRequest, policy: Policy) -> PolicyDraft:
        """The policy as the form says. Raises DocumentError, _Refused."""
        changed = copy(policy)  # the form writes into it
        form = self.get_form(request, changed, change=True)(request.POST, instance=changed)
        formsets, _ = self._create_formsets(request, changed, change=True)
        if not (form.is_valid() and all_valid(formsets)):
            raise _Refused("Correct the form first: Save shows what is wrong.")
        rows = [(row, row in formset.deleted_forms) for formset in formsets for row in formset.forms]
        rights = [row.instance for row, is_deleted in rows if row.instance.api_id and not is_deleted]
        if not formsets:  # for who may not see access rights the form has none
            rights = list(changed.access.all())
        document = {**policy_to_tyk(changed, rights), "active": True, "is_inactive": changed.is_inactive}
        return policy_from_tyk(document)

    def viewed(self, request: HttpRequest, object_id: str) -> Policy:
        policy: Policy = get_object_or_404(self.get_queryset(request), pk=unquote(object_id))
        if not self.has_view_permission(request, policy):
            raise PermissionDenied
        return policy


class _Refused(Exception):
    """The form has errors."""


class _ShownAgain(BaseForm):
    def is_valid(self) -> bool:
        """It has no errors, but it is not to be saved either."""
        return False


def _typed(request: HttpRequest) -> list[tuple[str, str]]:
    """What was posted, member by member; databases keep no NUL."""
    return [
        (name, value.replace("\0", ""))
        for name, values in request.POST.lists()
        if name not in KEPT_OUT
        for value in values
    ]


def _told(found: Preview) -> dict[str, Any]:
    totals = {row.day: (row.passed, row.denied) for row in found.denied}
    chart = draw_chart(totals, found.denied[0].day, len(found.denied))
    return {"preview": found, "chart": chart, "more_above": found.above_now_total - len(found.above_now)}
