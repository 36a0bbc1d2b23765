"""Paths and ids that the measured servers, the seed and the load agree on."""

DJANGO_PATH = "/bench/"
THROTTLED_PATH = "/throttled/"
PROXIED_PATH = "/proxied/"
FORWARD_AUTH_PATH = "/decide/forward-auth"
MEASURED_API = "bench-django"
