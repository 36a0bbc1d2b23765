"""`manage.py seed_scale`: a database as big as the ones that speed is promised for."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import CommandError
from django.db import transaction

from demo import scale
from organisations_app.commands import DatabaseCommand

WIDTH = 40


class Command(DatabaseCommand):
    help = (
        "Fills a database with invented keys, policies, usage, events and deliveries, to measure with. Give it a "
        "database of its own: what it makes is not removed again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--keys", type=int, default=1_000_000, help="1,000,000 unless given; at least 10")
        parser.add_argument("--policies", type=int, default=10_000, help="10,000 unless given; 50 an organisation")
        parser.add_argument("--hours", type=int, default=5_000_000, help="rows of hourly usage; 5,000,000 unless given")
        parser.add_argument(
            "--events", type=int, default=200_000, help="each with two deliveries; 200,000 unless given"
        )
        parser.add_argument("--yes", action="store_true", help="also where DEBUG is off")

    def handle(self, *args: Any, **options: Any) -> None:
        sizes = {name: options[name] for name in ("keys", "policies", "hours", "events")}
        _check(sizes, options["yes"])
        with transaction.atomic():
            parts = scale.parts(scale.scale_of(**sizes))
            total, done = sum(part.rows for part in parts), 0
            for part in parts:
                bar = _Bar(self, part.words, done, total)
                part.fill(bar.more)
                done = bar.done
        scale.finish()
        self.stdout.write(f"\r{done:,} rows are written.{' ' * WIDTH}")


class _Bar:
    """One line that grows in a terminal; in a file nothing but the end is of use."""

    def __init__(self, command: Command, words: str, done: int, total: int) -> None:
        self.command, self.words, self.done, self.total = command, words, done, total

    def more(self, rows: int) -> None:
        self.done += rows
        if not self.command.stdout.isatty():
            return
        filled = min(WIDTH, WIDTH * self.done // self.total)
        line = (
            f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {min(100, 100 * self.done // self.total):3} % {self.words:24}"
        )
        self.command.stdout.write(line, ending="")
        self.command.stdout.flush()


def _check(sizes: dict[str, int], is_sure: bool) -> None:
    if not settings.DEBUG and not is_sure:
        raise CommandError("DEBUG is off: if this is a database to measure with, say so with --yes.")
    least = {"keys": 10, "policies": 2, "hours": 1, "events": 1}
    for name, size in sizes.items():
        if size < least[name]:
            raise CommandError(f"--{name} must be at least {least[name]}, not {size}.")
    most = sizes["keys"] * scale.HOURS_BACK
    if sizes["hours"] > most:
        raise CommandError(f"--hours must be at most {most:,} for {sizes['keys']:,} keys, not {sizes['hours']:,}.")
    if scale.is_there():
        raise CommandError("The invented organisations are there already: give it another database.")
