"""The pages of jobs, under the admin of what they act on: how far a job is, while a worker is at it. The list above
leads back to the newest.
"""

from datetime import timedelta
from typing import Any

from django.contrib.admin.utils import quote
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin

from organisations_app import jobs
from organisations_app.admin_confirmation import actor_of
from organisations_app.models import Job
from organisations_app.tenancy import organisations_for

LISTED_FOR = timedelta(days=1)  # after a job has finished
MOST_LISTED = 5


class JobPages(ModelAdmin):
    list_before_template = "organisations_app/admin/jobs.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Jobs stand above the whole list only, not above what is searched, filtered or paged in it."""
        context = {**(extra_context or {}), "jobs": [] if request.GET else self._listed(request)}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.job_view)
        return [path("jobs/<int:job_id>/", view, name=f"{self._place}_job"), *super().get_urls()]

    def page_of_job(self, job: Job) -> str:
        return reverse(f"admin:{self._place}_job", args=[job.pk])

    def job_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        job = self._visible(request).filter(pk=job_id).first()
        if job is None:
            raise Http404
        if not self.has_view_permission(request):
            return HttpResponse(status=403)
        opts = self.model._meta
        context = {"job": job, "kind": jobs.kind_of(job), "title": str(job), "opts": opts}
        context["refusals"] = [(self._page(subject), subject, words) for subject, words in job.errors]
        if request.headers.get("HX-Request"):
            return TemplateResponse(request, "organisations_app/admin/job_progress.html", context)
        context |= {"list_url": reverse(f"admin:{self._place}_changelist"), "list_name": opts.verbose_name_plural}
        return TemplateResponse(
            request, "organisations_app/admin/job.html", {**self.admin_site.each_context(request), **context}
        )

    def _visible(self, request: HttpRequest) -> QuerySet[Job]:
        """Confined staff see their own."""
        here = Job.objects.filter(act__in=jobs.acts_on(self.model._meta.label_lower))
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
