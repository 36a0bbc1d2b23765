"""Commands that work with the tables: on a database without them they say what to do instead of failing halfway."""

from django.core.management import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

MOST_NAMED = 3


class DatabaseCommand(BaseCommand):
    requires_migrations_checks = True

    def check_migrations(self) -> None:
        """Raises CommandError where Django's own only warns."""
        if missing := unapplied_migrations():
            named = ", ".join(missing[:MOST_NAMED])
            raise CommandError(
                f"The database lacks migrations ({named}): call `manage.py migrate` first, as `make run` does."
            )


def unapplied_migrations() -> list[str]:
    """Names of the migrations that the database still lacks. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
