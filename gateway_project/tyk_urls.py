"""Paths of the Tyk-compatible gateway API, with or without a slash at the end."""

from django.urls import include, path, re_path

from organisations_app.tyk_view import Reload, UnknownPath

urlpatterns = [
    path("", include("sessions_app.tyk_views")),
    path("", include("policies_app.tyk_views")),
    re_path(r"^reload(?:/group)?/?$", Reload.as_view()),
    re_path(r"", UnknownPath.as_view()),
]
