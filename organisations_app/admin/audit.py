"""The audit as a page: to be read and searched, never to be changed."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from organisations_app.admin_filters import BetweenFilter
from organisations_app.admin_read_only import ReadOnlyAdmin
from organisations_app.audit_lines import lines
from organisations_app.models import AuditEntry

NEWEST = 2_000


class RecentWords(DropdownFilter):
    """The words that the newest entries use: to look for all of them would read the whole table."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = model_admin.get_queryset(request).order_by("-at", "-id")
        words = {*newest.values_list(self.parameter_name, flat=True)[:NEWEST], self.value() or ""}
        return [(word, word) for word in sorted(words) if word]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ActionFilter(RecentWords):
    title = "action"
    parameter_name = "action"


class SubjectFilter(RecentWords):
    title = "subject"
    parameter_name = "subject_kind"


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    tenancy = ("organisation_id",)
    list_display = ["moment", "actor", "act", "subject", "organisation_id", "reason"]
    list_filter = [ActionFilter, SubjectFilter, ("at", BetweenFilter)]
    search_fields = ["actor", "action", "subject_id", "organisation_id", "reason"]
    search_help_text = "Who, what, the id of what was changed, organisation or reason"
    fields = ["moment", "actor", "act", "subject", "organisation_id", "reason", "changes"]
    readonly_fields = fields

    @display(description="When", ordering="at")
    def moment(self, entry: AuditEntry) -> str:
        return f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"

    @display(description="Action", label={"delete": "danger", "revoke": "danger", "create": "success"})
    def act(self, entry: AuditEntry) -> str:
        return entry.action

    @display(description="Subject")
    def subject(self, entry: AuditEntry) -> str:
        return f"{entry.subject_kind} {entry.subject_id}"

    @display(description="Changes")
    def changes(self, entry: AuditEntry) -> SafeString:
        context = {"lines": lines(entry.before, entry.after)}
        return render_to_string("organisations_app/admin/audit_lines.html", context)
