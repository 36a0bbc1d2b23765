"""The pages of jobs, under the admin of what they act on: how far a job is, while a worker is at it, and the way to
stop it. The list above leads back to the newest.
"""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin

from organisations_app import jobs
from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.models import Job
from organisations_app.tenancy import organisations_for

LISTED_FOR = timedelta(days=1)  # after a job has finished
MOST_LISTED = 5
FIRST = "The worker first finishes the {unit} that it is at, which takes a moment."
STOP_POLLING = 286  # htmx asks no more


class JobPages(ModelAdmin):
    list_before_template = "organisations_app/admin/jobs.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Jobs stand above the whole list only, not above what is searched, filtered or paged in it."""
        context = {**(extra_context or {}), "jobs": [] if request.GET else self._listed(request)}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def get_urls(self) -> list[URLPattern]:
        view, stop = self.admin_site.admin_view(self.job_view), self.admin_site.admin_view(self.stop_view)
        return [
            path("jobs/<int:job_id>/", view, name=f"{self._place}_job"),
            path("jobs/<int:job_id>/stop/", stop, name=f"{self._place}_stop_job"),
            *super().get_urls(),
        ]

    def page_of_job(self, job: Job) -> str:
        return reverse(f"admin:{self._place}_job", args=[job.pk])

    def job_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        job = self._job(request, job_id)
        opts, kind = self.model._meta, jobs.kind_of(job)
        context = {"job": job, "kind": kind, "title": kind.title, "opts": opts, **self.told_of(request, job)}
        context["refusals"] = [(self._page(subject), subject, words) for subject, words in job.errors]
        if self._may_stop(request, job):
            context["stop_url"] = reverse(f"admin:{self._place}_stop_job", args=[job.pk])
        if request.headers.get("HX-Request"):
            status = STOP_POLLING if job.finished_at else 200
            return TemplateResponse(request, "organisations_app/admin/job_progress.html", context, status=status)
        context |= {"list_url": reverse(f"admin:{self._place}_changelist"), "list_name": opts.verbose_name_plural}
        return TemplateResponse(
            request, "organisations_app/admin/job.html", {**self.admin_site.each_context(request), **context}
        )

    def told_of(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """What the page tells beside the numbers: `found_template` and its context. Raises Http404 for who may not see
        it.
        """
        return {}

    def stop_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        job = self._job(request, job_id)
        kind, page = jobs.kind_of(job), self.page_of_job(job)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if not self._may_stop(request, job):
            if job.finished_at is None and not job.stop_asked_by:
                raise PermissionDenied
            messages.info(request, "It has ended, or is being stopped.")
            return HttpResponseRedirect(page)
        if form.is_valid():
            jobs.stop(job, actor_of(request), form.given)
            return HttpResponseRedirect(page)
        text = f"{kind.if_stopped} {FIRST.format(unit=kind.unit)}"
        question = Question(f"Stop this job: {kind.title}", text, "Stop", page)
        return ask(self, request, question, form)

    def _job(self, request: HttpRequest, job_id: int) -> Job:
        """Raises Http404, PermissionDenied."""
        job = self._visible(request).filter(pk=job_id).first()
        if job is None:
            raise Http404
        if not self.has_view_permission(request):
            raise PermissionDenied
        return job

    def _may_stop(self, request: HttpRequest, job: Job) -> bool:
        """Who began it, and who may change what it acts on."""
        if job.finished_at is not None or job.stop_asked_by or not jobs.kind_of(job).can_stop:
            return False
        return job.actor == actor_of(request).name or self.has_change_permission(request)

    def _visible(self, request: HttpRequest) -> QuerySet[Job]:
        """Confined staff see their own."""
        here = Job.objects.filter(jobs.belonging_to(self.model._meta.label_lower))
        return here if organisations_for(request.user) is None else here.filter(actor=actor_of(request).name)

    def _listed(self, request: HttpRequest) -> list[tuple[str, jobs.Kind, Job]]:
        """Each with its page, newest first."""
        open_or_new = Q(finished_at=None) | Q(finished_at__gt=timezone.now() - LISTED_FOR)
        newest = self._visible(request).filter(open_or_new).order_by("-pk")[:MOST_LISTED]
        return [(self.page_of_job(job), jobs.kind_of(job), job) for job in newest]

    def _page(self, subject: str) -> str:
        return reverse(f"admin:{self._place}_change", args=[quote(subject)])

    @property
    def _place(self) -> Any:
        return f"{self.model._meta.app_label}_{self.model._meta.model_name}"
