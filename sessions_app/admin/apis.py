"""Admin of APIs with the gateway at hand: is the listen path free, and what does a request with this key get?"""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from organisations_app.admin_tenancy import seen_rows
from policies_app.admin import ApiAdmin
from policies_app.listen_paths import place_of
from policies_app.models import Api
from sessions_app.edge.trial import METHODS, NoAnswer, try_request
from sessions_app.edge.usage import is_rate_limits_path

LONGEST_BODY = 64 * 1024
KEY_HEADER = "Authorization"  # unless the API names another


class TrialForm(forms.Form):
    method = forms.ChoiceField(choices=[(method, method) for method in METHODS])
    rest = forms.CharField(required=False, max_length=2000, strip=False)
    key = forms.CharField(required=False, max_length=300, strip=True)
    body = forms.CharField(required=False, max_length=LONGEST_BODY, strip=False)

    def clean_rest(self) -> str:
        rest: str = self.cleaned_data["rest"].removeprefix("/")
        if not rest.isprintable():
            raise forms.ValidationError("The path has signs that no address has.")
        if is_rate_limits_path(f"/{rest}"):
            raise forms.ValidationError("This path shows the key's limits and costs nothing: ask for it with curl.")
        return rest


@admin.register(Api)
class TriedApiAdmin(ApiAdmin):
    change_form_outer_after_template = "sessions_app/admin/api_trial.html"

    class Media:
        js = ["tollgate/api.js"]

    def get_urls(self) -> list[URLPattern]:
        listen_path = self.admin_site.admin_view(require_safe(self.listen_path))
        attempt = sensitive_post_parameters("key")(self.admin_site.admin_view(require_POST(self.attempt)))
        return [
            path("listen-path/", listen_path, name="policies_app_api_listen_path"),
            path("<path:object_id>/try/", attempt, name="policies_app_api_try"),
            *super().get_urls(),
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        api_id = unquote(object_id) if object_id else ""
        context = {
            **(extra_context or {}),
            "listen_path_url": reverse("admin:policies_app_api_listen_path"),
            "try_url": reverse("admin:policies_app_api_try", args=[quote(api_id)]) if api_id else "",
            "methods": METHODS,
        }
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response

    def listen_path(self, request: HttpRequest) -> HttpResponse:
        """What is to say of a path that is being typed. APIs that the reader may not see are not named."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        place = place_of(request.GET.get("path", ""), request.GET.get("api", ""))
        seen = set(seen_rows(self.admin_site, Api, request).filter(pk__in=_named(place)).values_list("pk", flat=True))
        context = {
            "place": place,
            "taken_by": place.taken_by if place.taken_by and place.taken_by.pk in seen else None,
            "outer": place.outer if place.outer and place.outer.pk in seen else None,
            "inner": [api for api in place.inner if api.pk in seen],
        }
        return TemplateResponse(request, "sessions_app/admin/api_listen_path.html", context)

    def attempt(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A real request: it is counted, and the upstream does what it asks for. So readers may not send it."""
        api = get_object_or_404(self.get_queryset(request), pk=unquote(object_id))
        if not self.has_change_permission(request, api):
            raise PermissionDenied
        form = TrialForm(request.POST)
        context: dict[str, Any] = {"api": api}
        if form.is_valid():
            context |= _tried(api, form.cleaned_data)
        else:
            context["problem"] = " ".join(str(message) for messages in form.errors.values() for message in messages)
        return TemplateResponse(request, "sessions_app/admin/api_answer.html", context)


def _tried(api: Api, values: dict[str, str]) -> dict[str, Any]:
    headers = {api.auth_header_name or KEY_HEADER: values["key"]} if values["key"] else {}
    try:
        trial = try_request(values["method"], f"{api.listen_path}{values['rest']}", headers, values["body"].encode())
    except NoAnswer as error:
        return {"problem": str(error)}
    return {"trial": trial}


def _named(place: Any) -> list[str]:
    return [api.pk for api in (place.taken_by, place.outer, *place.inner) if api is not None]
