"""The project as an installed app, so that its commands and system checks are found."""

from django.apps import AppConfig


class GatewayProjectConfig(AppConfig):
    name = "gateway_project"
    verbose_name = "Gateway"

    def ready(self) -> None:
        from gateway_project import checks, periodic  # noqa: F401 - they register themselves, which needs loaded apps
