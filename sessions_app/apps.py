"""What a key may still do."""

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Keys and usage"

    def ready(self) -> None:
        from organisations_app import versions  # models are there only now
        from sessions_app import key_jobs, what_if_jobs
        from sessions_app.publishing import publish

        versions.register_publisher(publish)
        key_jobs.register_all()
        what_if_jobs.register()
