"""Every path of the control plane. Paths of proxied APIs and `/decide/*` never come here: see asgi.py."""

from django.contrib import admin
from django.urls import path

from gateway_project import health

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("admin/", admin.site.urls),
]
