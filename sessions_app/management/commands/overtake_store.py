"""`manage.py overtake_store`: to be called once after a database backup was restored."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.core.management import CommandError

from organisations_app import versions
from organisations_app.commands import DatabaseCommand
from organisations_app.models import Organisation
from sessions_app import publishing, strangers
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key

BATCH = 1000


class Command(DatabaseCommand):
    help = (
        "After restoring a database backup: makes the counter store believe the database again. "
        "Until then keys changed since the backup are answered as if the store were down. Usage is not touched."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        scopes, lagging = _scopes(), 0
        try:
            while batch := list(islice(scopes, BATCH)):
                lagging += publishing.overtake(batch)
        except StoreUnavailable as error:
            raise CommandError(f"The counter store does not answer; start it and call this again. {error}") from None
        self.stdout.write(f"{lagging} configuration versions were behind the counter store and lead again.")


def _scopes() -> Iterator[str]:
    yield versions.GATEWAY
    yield from strangers.ALL_SCOPES
    for organisation_id in Organisation.objects.values_list("pk", flat=True).iterator():
        yield versions.organisation_scope(organisation_id)
    for organisation_id, key_id in Key.objects.values_list("organisation_id", "pk").iterator():
        yield versions.key_scope(organisation_id, key_id)
