"""Paths of `/api/v1`. No trailing slash, but for the two pages that describe it."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import SimpleRouter

from monitors_app.api.deliveries import DeliveryViewSet
from monitors_app.api.emails import EmailChoiceView
from monitors_app.api.events import EventViewSet
from monitors_app.api.gateway import GatewayMonitorView
from monitors_app.api.monitors import MonitorViewSet
from organisations_app.api.attributes import AttributeViewSet
from organisations_app.api.audit import AuditViewSet
from organisations_app.api.organisations import OrganisationViewSet
from organisations_app.api.people import ApplicationViewSet, DeveloperViewSet
from organisations_app.api.tokens import TokenViewSet
from organisations_app.rest.fields import NUMBER
from organisations_app.rest.views import ID, UnknownPath
from policies_app.api import ApiViewSet, PolicyViewSet
from sessions_app.api.keys import KeyViewSet
from sessions_app.api.organisation_sessions import OrganisationResetView, OrganisationSessionView
from sessions_app.api.policy_previews import PolicyPreviewJobView, PolicyPreviewView
from sessions_app.api.usage import UsageViewSet

router = SimpleRouter(trailing_slash=False)
router.register("organisations", OrganisationViewSet)
router.register("developers", DeveloperViewSet)
router.register("applications", ApplicationViewSet)
router.register("attributes", AttributeViewSet)
router.register("apis", ApiViewSet)
router.register("policies", PolicyViewSet)
router.register("keys", KeyViewSet)
router.register("monitors", MonitorViewSet)
router.register("events", EventViewSet)
router.register("deliveries", DeliveryViewSet)
router.register("usage", UsageViewSet)
router.register("audit", AuditViewSet)
router.register("tokens", TokenViewSet)

urlpatterns = [
    re_path(r"^schema/?$", SpectacularAPIView.as_view(), name="api-schema"),
    # Its script is a file of its own, as the content security policy wants.
    re_path(
        r"^docs/?$",
        SpectacularSwaggerSplitView.as_view(url_name="api-schema", template_name="organisations_app/api_docs.html"),
        name="api-docs",
    ),
    path("monitors/gateway", GatewayMonitorView.as_view()),
    re_path(f"^developers/(?P<developer_id>{NUMBER})/emails$", EmailChoiceView.as_view()),
    re_path(f"^organisations/(?P<organisation_id>{ID})/session$", OrganisationSessionView.as_view()),
    re_path(f"^organisations/(?P<organisation_id>{ID})/session/reset-quota$", OrganisationResetView.as_view()),
    re_path(f"^policies/(?P<policy_id>{ID})/preview$", PolicyPreviewView.as_view()),
    re_path(f"^policies/previews/(?P<preview_id>{NUMBER})$", PolicyPreviewJobView.as_view(), name="api-policy-preview"),
    *router.urls,
    re_path(r"", UnknownPath.as_view()),
]
