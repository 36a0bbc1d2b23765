"""Commands on a database without its tables say what to do."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder


@pytest.mark.django_db
@pytest.mark.parametrize(
    "command",
    [["overtake_store"], ["seed_scale"], ["import_tyk", "--keys", "keys.jsonl"], ["export_tyk", "--out", "nowhere"]],
    ids=" ".join,
)
def test_a_command_that_needs_the_tables_asks_for_migrate(command: list[str]) -> None:
    newest = max(name for app, name in MigrationRecorder(connection).applied_migrations() if app == "sessions_app")
    MigrationRecorder(connection).record_unapplied("sessions_app", newest)
    with pytest.raises(CommandError, match=rf"sessions_app\.{newest}.*: call `manage.py migrate` first"):
        call_command(*command)
