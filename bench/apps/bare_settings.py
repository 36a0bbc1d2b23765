"""Settings of the Django peers: the project's own without any middleware, so that only view or throttle is measured."""

from gateway_project.settings import *  # noqa: F403
from gateway_project.settings import GATEWAY_STORE_URL

MIDDLEWARE = []
ROOT_URLCONF = "bench.apps.urls"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": GATEWAY_STORE_URL}}
