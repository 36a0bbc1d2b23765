"""The developer portal: HTML pages without rules of their own."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal_app"
    verbose_name = "Developer portal"
    default_auto_field = "django.db.models.BigAutoField"
