"""What is allowed: APIs, policies and their access rights."""

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    name = "policies_app"
    verbose_name = "APIs and policies"
    default_auto_field = "django.db.models.BigAutoField"
