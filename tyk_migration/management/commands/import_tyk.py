"""`manage.py import_tyk`: moves a Tyk gateway's configuration, keys and counters here. docs/tyk.md tells the way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management import CommandError, CommandParser
from tqdm import tqdm

from organisations_app.commands import DatabaseCommand
from organisations_app.models import IDENTIFIER
from sessions_app import tyk_hashes
from tyk_migration import importing
from tyk_migration.importing import Options, Sources, Unreadable
from tyk_migration.names import AUTO
from tyk_migration.report import EXAMPLES, Report, as_json, as_text

PARTS = {
    "conf": "tyk.conf: the monitor section becomes the gateway monitor, every other member is told about",
    "apis": "API definitions: a folder of JSON files, or one file",
    "policies": "policies: an object by id, a list, or a folder of such files",
    "keys": "sessions of keys: JSON lines, or an object by key",
    "orgs": "sessions of organisations: JSON lines, or an object by organisation id",
    "counters": "Tyk's quota-… counters: JSON lines, or an object by name; needs --keys or --orgs",
}


class Command(DatabaseCommand):
    help = "Imports from Tyk. Each part is optional; importing the same again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        for part, meaning in PARTS.items():
            parser.add_argument(f"--{part}", type=Path, metavar="DIR" if part == "apis" else "FILE", help=meaning)
        parser.add_argument(
            "--hashed",
            choices=[*tyk_hashes.ALGORITHMS, AUTO],
            help="keys are named by their hashes; auto tells the algorithm by length (default: as tyk.conf says)",
        )
        parser.add_argument("--organisation", default="default", help="owns what names no organisation (default)")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, only report")
        parser.add_argument("--strict", action="store_true", help="all or nothing: one refused row refuses everything")
        parser.add_argument("--report", choices=["text", "json"], default="text", help="form of the report")
        parser.add_argument("--examples", type=int, default=EXAMPLES, help="rows to name for each difference")

    def handle(self, *args: Any, **options: Any) -> None:
        sources = Sources(**{part: options[part] for part in PARTS})
        _check(sources, options["organisation"])
        chosen = Options(
            hashed=options["hashed"],
            organisation_id=options["organisation"],
            is_dry=options["dry_run"],
            is_strict=options["strict"],
            most_examples=options["examples"],
        )
        try:
            report = importing.run(sources, chosen, _progress)
        except Unreadable as error:
            raise CommandError(f"Nothing was changed:\n{error}", returncode=2) from None
        self._show(report, options["report"])
        if report.refused:
            raise CommandError(f"{report.refused} rows were refused: see above.", returncode=1)

    def _show(self, report: Report, form: str) -> None:
        if form == "json":
            self.stdout.write(json.dumps(as_json(report), ensure_ascii=False, indent=2))
            return
        for line in as_text(report):
            self.stdout.write(line)


def _check(sources: Sources, organisation_id: str) -> None:
    if not any(getattr(sources, part) for part in PARTS):
        raise CommandError("Nothing to import: give at least one of " + ", ".join(f"--{part}" for part in PARTS))
    if sources.counters and not (sources.keys or sources.orgs):
        raise CommandError("--counters needs --keys or --orgs: their names lead from Tyk's counters to ours")
    try:
        IDENTIFIER(organisation_id)
    except ValidationError as error:
        raise CommandError(f"--organisation: {' '.join(error.messages)}") from None


def _progress(what: str, path: Path) -> Callable[[int], object]:
    """On a terminal only."""
    bar = tqdm(desc=what, unit=" keys", disable=None, total=_lines(path))
    return bar.update


def _lines(path: Path) -> int | None:
    with path.open("rb") as file:
        count = sum(1 for _ in file)
    return count if count > 1 else None
