"""Who is told: monitors, the event ledger and deliveries."""

from django.apps import AppConfig


class MonitorsConfig(AppConfig):
    name = "monitors_app"
    verbose_name = "Monitors"
    default_auto_field = "django.db.models.BigAutoField"
