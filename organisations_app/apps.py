"""Who: organisations, developers and applications."""

from django.apps import AppConfig


class OrganisationsConfig(AppConfig):
    name = "organisations_app"
    verbose_name = "Organisations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from organisations_app.organisations import register_erasure  # models are there only now

        register_erasure()
