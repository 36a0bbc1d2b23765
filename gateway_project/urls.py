"""Every path of the control plane. Paths of proxied APIs and `/decide/*` never come here: see asgi.py."""

from django.contrib import admin
from django.urls import include, path

from gateway_project import health
from portal_app.views import home

urlpatterns = [
    path("", home),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("hello", health.hello),
    path("api/v1/", include("gateway_project.api_urls")),
    path("tyk/", include("gateway_project.tyk_urls")),
    path("admin/", admin.site.urls),
    path("portal/", include("monitors_app.urls")),
    path("portal/", include("portal_app.urls")),
]
