"""The Celery application. Workers run Django's system checks when they start; beat does not, so it is told here."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

app = Celery("gateway_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@beat_init.connect
def stop_if_environment_is_invalid(**_: Any) -> None:
    settings.ENVIRONMENT.stop_if_invalid()
