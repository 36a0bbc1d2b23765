"""Admin of policies with their keys: who uses one, and what its pattern makes of a key."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.db.models import OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from unfold.decorators import display
from unfold.views import ChangeList

from organisations_app.admin_lists import Amount, KeysetChangeList
from organisations_app.admin_tenancy import seen_rows
from organisations_app.counting import MOST_COUNTED, CountOf
from policies_app.admin import PolicyAdmin
from policies_app.models import Policy
from policies_app.patterns import FIELD
from sessions_app.admin.policy_what_ifs import PolicyWhatIfs
from sessions_app.models import Key, KeyPolicy
from sessions_app.subjects import computed_subject
from sessions_app.terms import HOLDER

KEYS_SHOWN = 5
KEYS_OFFERED = 20


class PolicyChangeList(KeysetChangeList):
    """Puts `key_count` on each policy of the page: one may be applied to a million keys, so up to a bound."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        applied = KeyPolicy.objects.filter(policy=OuterRef("pk")).order_by().values("pk")[: MOST_COUNTED + 1]
        page = Policy.objects.filter(pk__in=[policy.pk for policy in self.result_list]).order_by()
        counts = dict(page.annotate(keys_counted=CountOf(applied)).values_list("pk", "keys_counted"))
        for policy in self.result_list:
            policy.key_count = Amount.counted(counts.get(policy.pk, 0))


@admin.register(Policy)
class KeyedPolicyAdmin(PolicyWhatIfs, PolicyAdmin):
    list_display = [*PolicyAdmin.list_display[:-1], "keys_with_it", "status"]
    change_form_before_template = "sessions_app/admin/policy_users.html"
    change_form_after_template = "sessions_app/admin/policy_panels.html"

    class Media:
        js = ["tollgate/policy.js"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return PolicyChangeList

    @display(description="Keys")
    def keys_with_it(self, policy: Any) -> str:
        return str(policy.key_count)

    def get_urls(self) -> list[URLPattern]:
        subject = self.admin_site.admin_view(require_POST(self.subject))
        return [
            path("<path:object_id>/subject/", subject, name="policies_app_policy_subject"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), **self._users(request, unquote(object_id))}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def _users(self, request: HttpRequest, policy_id: str) -> dict[str, Any]:
        """The newest keys that the policy is applied to, as far as the reader may see them."""
        keys = seen_rows(self.admin_site, Key, request).filter(key_policies__policy=policy_id).order_by("-created_at")
        newest = list(keys[:KEYS_OFFERED])
        return {
            "users": newest[:KEYS_SHOWN],
            "offered": newest,
            "user_count": Amount.of(keys),
            "user_list": f"{reverse('admin:sessions_app_key_changelist')}?policies__id__exact={quote(policy_id)}",
            "subject_url": reverse("admin:policies_app_policy_subject", args=[quote(policy_id)]),
            "pattern_field": FIELD,
        }

    # --- what the custom rate limit key of a key would be -------------------------------------------------------------

    def subject(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Posted: the metadata as it stands in the form, and the id of a key."""
        policy = self.viewed(request, object_id)
        keys = seen_rows(self.admin_site, Key, request).select_related(HOLDER)
        key = get_object_or_404(keys, pk=request.POST.get("key", ""))
        computed = computed_subject(key, policy.pk, request.POST.get("meta_data", ""))
        return TemplateResponse(request, "sessions_app/admin/policy_subject.html", {"computed": computed, "key": key})
