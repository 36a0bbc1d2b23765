"""The page behind the unsubscribe link of each e-mail. Needs no login: the link itself says who (RFC 8058)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from monitors_app import preferences
from monitors_app.models import EmailPreference

Thresholds = EmailPreference.Thresholds


@csrf_exempt  # mail programs post without a cookie; the signed link is the permission
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET only asks, because mail scanners follow links. POST switches off; with `resume` in its form, on again."""
    developer = preferences.developer_of(token)
    if developer is None:
        return render(request, "monitors/unsubscribe.html", {"developer": None}, status=404)
    if request.method == "POST":
        preferences.set_thresholds(developer, Thresholds.IMMEDIATE if "resume" in request.POST else Thresholds.OFF)
    is_off = preferences.thresholds_of(developer) == Thresholds.OFF
    return render(request, "monitors/unsubscribe.html", {"developer": developer, "is_off": is_off})
