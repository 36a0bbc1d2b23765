"""Paths of `/api/v1`. No trailing slash, but for the two pages that describe it."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from monitors_app.api import GatewayMonitorView
from organisations_app.api import OrganisationViewSet
from organisations_app.rest.views import ID, UnknownPath
from policies_app.api import ApiViewSet, PolicyViewSet
from sessions_app.api import KeyViewSet, OrganisationResetView, OrganisationSessionView

router = SimpleRouter(trailing_slash=False)
router.register("organisations", OrganisationViewSet)
router.register("apis", ApiViewSet)
router.register("policies", PolicyViewSet)
router.register("keys", KeyViewSet)

urlpatterns = [
    re_path(r"^schema/?$", SpectacularAPIView.as_view(), name="api-schema"),
    # Its script is a file of its own, as the content security policy wants.
    re_path(r"^docs/?$", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    path("monitors/gateway", GatewayMonitorView.as_view()),
    re_path(f"^organisations/(?P<organisation_id>{ID})/session$", OrganisationSessionView.as_view()),
    re_path(f"^organisations/(?P<organisation_id>{ID})/session/reset-quota$", OrganisationResetView.as_view()),
    *router.urls,
    re_path(r"", UnknownPath.as_view()),
]
