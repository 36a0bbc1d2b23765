"""On PostgreSQL a text within an alias is found by its trigrams. Where the extension may not be created the search of
keys is slower, and nothing else is missing.
"""

from django.db import ProgrammingError, migrations, transaction


def add_index(apps, schema_editor):
    connection = schema_editor.connection
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'")
        if not cursor.fetchone()[0]:
            return
        try:
            with transaction.atomic(using=connection.alias):
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except ProgrammingError:
            return
        cursor.execute("CREATE INDEX key_alias_trigrams ON sessions_app_key USING gin (UPPER(alias) gin_trgm_ops)")


def remove_index(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            cursor.execute("DROP INDEX IF EXISTS key_alias_trigrams")


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0004_key_lists_and_jobs")]

    operations = [migrations.RunPython(add_index, remove_index)]
