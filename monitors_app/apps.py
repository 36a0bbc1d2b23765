"""Who is told: monitors, the event ledger and deliveries."""

from django.apps import AppConfig


class MonitorsConfig(AppConfig):
    name = "monitors_app"
    verbose_name = "Monitors"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from monitors_app import monitors  # models are there only now
        from organisations_app import organisations

        organisations.on_close(monitors.fall_silent)
        monitors.register_erasure()
