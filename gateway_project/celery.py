"""The Celery application. Workers and beat refuse to start on a wrong environment, as the web server does."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

app = Celery("gateway_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.set_default()  # for threads, too: without it each but the importing one would have an app of its own


@beat_init.connect
@celeryd_init.connect
def stop_if_environment_is_invalid(**_: Any) -> None:
    try:
        settings.ENVIRONMENT.stop_if_invalid()
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None  # an exception of a signal's receiver would only be logged
