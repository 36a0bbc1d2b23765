"""A Django project's own API: views that stand behind the middleware, and a page that is no API."""

from django.http import HttpRequest, JsonResponse
from django.urls import path


def sync_view(request: HttpRequest) -> JsonResponse:
    decision = request.tollgate  # type: ignore[attr-defined]
    return JsonResponse({"outcome": decision.outcome}, headers={"X-RateLimit-Limit": "the view's own", "X-Own": "1"})


async def async_view(request: HttpRequest) -> JsonResponse:
    return sync_view(request)


def page(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"judged": hasattr(request, "tollgate")})


urlpatterns = [
    path("sync/x", sync_view),
    path("async/x", async_view),
    path("shop/", page),
    path("healthz", page),
]
