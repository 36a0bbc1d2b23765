"""Who: organisations, developers and applications."""

from django.apps import AppConfig


class OrganisationsConfig(AppConfig):
    name = "organisations_app"
    verbose_name = "Organisations"
    default_auto_field = "django.db.models.BigAutoField"
