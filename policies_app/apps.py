"""What is allowed: APIs, policies and their access rights."""

from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    name = "policies_app"
    verbose_name = "APIs and policies"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from organisations_app import organisations  # models are there only now
        from policies_app.catalogue import switch_off_apis

        organisations.on_close(switch_off_apis)
