"""Who: organisations, developers and applications."""

from django.apps import AppConfig


class OrganisationsConfig(AppConfig):
    name = "organisations_app"
    verbose_name = "Organisations"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from organisations_app import developers, organisations  # models are there only now

        organisations.register_erasure()
        developers.register_erasure()
