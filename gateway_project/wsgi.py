"""Django alone, as a WSGI application. The proxy and `/decide/*` need asgi.py."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

application = get_wsgi_application()
settings.ENVIRONMENT.stop_if_invalid()
