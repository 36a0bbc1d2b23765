"""System checks of the gateway: each wrong environment variable is an error that names it."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

TAG = "gateway"


@register(TAG)
def check_environment(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """`gateway.E001` for each problem found in the environment."""
    return [Error(str(problem), id="gateway.E001") for problem in settings.ENVIRONMENT.problems]
