"""Moving from Tyk and back: import and export of its configuration, keys and counters."""

from django.apps import AppConfig


class TykMigrationConfig(AppConfig):
    name = "tyk_migration"
    verbose_name = "Migration from Tyk"
