"""Every path of the control plane. Paths of proxied APIs and `/decide/*` never come here: see asgi.py."""

from django.contrib import admin
from django.urls import include, path, re_path

from gateway_project import health, home
from portal_app.views import home as front_page

admin.site.index_title = "Home"

urlpatterns = [
    path("", front_page),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    re_path(r"^hello/?$", health.hello),
    path("api/v1/", include("gateway_project.api_urls")),
    path("tyk/", include("gateway_project.tyk_urls")),
    path("admin/health/", admin.site.admin_view(home.health), name="admin_health"),
    path("admin/", admin.site.urls),
    path("portal/", include("monitors_app.urls")),
    path("portal/", include("portal_app.urls")),
]
