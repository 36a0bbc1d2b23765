"""What a key may still do: keys, org sessions, grants and usage."""

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Keys and usage"
    default_auto_field = "django.db.models.BigAutoField"
