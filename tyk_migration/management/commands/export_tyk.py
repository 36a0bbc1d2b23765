"""`manage.py export_tyk`: this gateway's configuration and keys in the shapes that `import_tyk` takes."""

from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from organisations_app.commands import DatabaseCommand
from organisations_app.models import Organisation
from sessions_app import tokens
from tyk_migration import exporting


class Command(DatabaseCommand):
    help = "Exports tyk.conf (its monitor section), apis/, policies.json, keys.jsonl and orgs.jsonl."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder that is empty or missing")
        parser.add_argument("--organisation", metavar="ID", help="only what belongs to this organisation")
        parser.add_argument(
            "--with-secrets",
            action="store_true",
            help="header values and the signing secret of the gateway monitor in clear (else masked)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder, organisation_id = options["out"], options["organisation"]
        if not exporting.is_empty(folder):
            raise CommandError(f"{folder} is not empty: name a new folder, so that nothing old stays in it")
        if organisation_id and not Organisation.objects.living().filter(pk=organisation_id).exists():
            raise CommandError(f"There is no organisation {organisation_id!r}")
        try:
            counts = exporting.export(folder, organisation_id, with_secrets=options["with_secrets"])
        except OSError as error:
            raise CommandError(f"{folder}: {error.strerror or error}") from None
        for kind, count in counts.items():
            self.stdout.write(f"{kind}: {count}")
        self.stdout.write(
            "Keys carry their digests: they open wherever GATEWAY_KEY_PEPPER is the same; its mark is "
            f"{tokens.pepper_mark()}."
        )
