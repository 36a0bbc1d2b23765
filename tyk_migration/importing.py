"""One import: what each part needs of the others, and in which order. Tyk's data in, a report out.

By default each row, and each lot of keys with its counters, stands for itself. A dry run does everything in one
transaction that is rolled back, and writes nothing to the counter store; a strict one is rolled back if anything was
refused, and writes its counters after the transaction.
"""

import gc
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from django.conf import settings
from django.db import transaction

from monitors_app.monitors import gateway_monitor
from organisations_app import audit
from organisations_app.audit import SYSTEM, Subject
from organisations_app.models import Organisation
from tyk_migration.catalogue import import_apis, import_policies, policies_by_id
from tyk_migration.configuration import Configuration, import_monitor, read_configuration
from tyk_migration.counters import CounterImport
from tyk_migration.differences import Surroundings
from tyk_migration.key_rows import KeyReader
from tyk_migration.keys import KeyImport
from tyk_migration.organisations import import_organisations
from tyk_migration.report import EXAMPLES, Report
from tyk_migration.sources import Row, SourceError, api_rows, named_rows, policy_rows
from tyk_migration.tyk_usage import KIND, Dump, read_dump

# Semantics section 10, as far as no row shows it.
GENERAL = (
    "requests beyond a quota are not counted (Tyk counts them on), and an edited key keeps its usage, except over the "
    "Tyk dialect",
    "webhooks are retried for hours and signed; a threshold is told once per period",
    "counters of custom rate limit keys can be read and reset",
)


@dataclass(frozen=True, slots=True)
class Sources:
    conf: Path | None = None
    apis: Path | None = None
    policies: Path | None = None
    keys: Path | None = None
    orgs: Path | None = None
    counters: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """`hashed` as in names.identify, None: as tyk.conf says. `organisation_id` owns what names no organisation."""

    hashed: str | None = None
    organisation_id: str = "default"
    is_dry: bool = False
    is_strict: bool = False
    most_examples: int = EXAMPLES


class Unreadable(Exception):
    """Files that cannot be read, so that nothing was changed. One message for each."""

    def __init__(self, errors: Sequence[SourceError]) -> None:
        super().__init__("\n".join(map(str, errors)))


# Called with what is being done and the file that is read; what it answers is told how many rows are done.
Progress = Callable[[str, Path], Callable[[int], object]]


def unseen(what: str, path: Path) -> Callable[[int], object]:
    """Progress that nobody looks at."""
    return lambda rows: None


@contextmanager
def seldom_collected() -> Iterator[None]:
    """The rows of a lot live and die together: looking for cycles among them, with each few hundred, takes a third of
    the time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def run(sources: Sources, options: Options, progress: Progress = unseen) -> Report:
    """Imports what is given. Raises Unreadable before anything is changed."""
    with seldom_collected():
        return _Import(sources, options, progress, Report(options.is_dry, options.most_examples)).run()


@dataclass(slots=True)
class _Import:
    sources: Sources
    options: Options
    progress: Progress
    report: Report
    configuration: Configuration = field(default_factory=Configuration)
    around: Surroundings = field(default_factory=Surroundings)
    apis: Sequence[Row] = ()
    policies: Sequence[Row] = ()

    def run(self) -> Report:
        self._read()
        before = set(Organisation.objects.values_list("pk", flat=True))
        if self.options.is_dry or self.options.is_strict:
            with transaction.atomic():
                usage = self._write(before)
                stands = not self.options.is_dry and not self.report.refused
                transaction.set_rollback(not stands)
        else:
            usage = self._write(before)
            stands = True
        if stands:
            usage.release()
            self._record()
        elif not self.options.is_dry:
            self.report.note("strict: rows were refused, so that nothing was changed")
        return self.report

    def _read(self) -> None:
        """All that is read as a whole is read before anything is changed. Raises Unreadable."""
        sources, errors = self.sources, [*_missing(self.sources)]
        try:
            if sources.conf:
                self.configuration = read_configuration(sources.conf, self.report)
        except SourceError as error:
            errors.append(error)
        apis = list(api_rows(sources.apis)) if sources.apis else []
        policies = list(policy_rows(sources.policies)) if sources.policies else []
        errors += [row for row in (*apis, *policies) if isinstance(row, SourceError)]
        if errors:
            raise Unreadable(list({str(error): error for error in errors}.values()))
        self.apis = [row for row in apis if isinstance(row, Row)]
        self.policies = [row for row in policies if isinstance(row, Row)]

    def _write(self, before: Set[str]) -> CounterImport:
        """`before` are the organisations that existed. Answers with the counters, which a strict import holds back."""
        sources, options, report = self.sources, self.options, self.report
        if sources.conf and self.configuration.monitor:
            import_monitor(sources.conf, self.configuration.monitor, report)
        self.around = _surroundings(self.configuration)
        dump = read_dump(named_rows(sources.counters), report) if sources.counters else Dump()
        usage = CounterImport(report, dump, is_held=options.is_strict and not options.is_dry)
        if sources.orgs or sources.keys:
            report.begin(KIND)
        if sources.orgs:
            import_organisations(named_rows(sources.orgs), report, self.around, usage)
        if sources.apis:
            import_apis(iter(self.apis), report, options.organisation_id)
        if sources.policies:
            import_policies(iter(self.policies), report, options.organisation_id, self.around)
        self.around = replace(self.around, policies=policies_by_id())
        if sources.keys:
            hashed = options.hashed or self.configuration.hashed
            reader = KeyReader(options.organisation_id, hashed)
            keys = KeyImport(report, self.around, usage, reader, self.progress("keys", sources.keys))
            keys.run(named_rows(sources.keys))
        if sources.keys or sources.policies:
            for text in GENERAL:
                report.note(text)
        self._tell_made(before)
        self._tell_unknown(dump)
        return usage

    def _tell_unknown(self, dump: Dump) -> None:
        if unknown := len(dump.usage) - len(dump.found):
            names = [name for name in dump.usage if name not in dump.found][:3]
            shown = ", ".join(f"{name[:12]}…" for name in names)
            self.report.note(f"{unknown} counters belong to nothing that was imported, for example {shown}")

    def _tell_made(self, before: Set[str]) -> None:
        made = sorted(set(Organisation.objects.values_list("pk", flat=True)) - before)
        if made:
            more = f" and {len(made) - 10} more" if len(made) > 10 else ""
            self.report.note(f"{len(made)} organisations were made: {', '.join(made[:10])}{more}")

    def _record(self) -> None:
        """One entry for all: the lines of a hundred thousand keys would help nobody."""
        if self.report.changes:
            counts = {kind: dict(tally) for kind, tally in self.report.tallies.items()}
            audit.record(SYSTEM, "import-tyk", Subject("gateway", "", ""), after=counts)


def _missing(sources: Sources) -> Iterator[SourceError]:
    """Files that are not there; folders are fine for definitions and policies only."""
    for path in (sources.keys, sources.orgs, sources.counters):
        if path and not path.is_file():
            yield SourceError(str(path), "is no file")
    for path in (sources.apis, sources.policies):
        if path and not path.exists():
            yield SourceError(str(path), "does not exist")


def _surroundings(configuration: Configuration) -> Surroundings:
    monitor = gateway_monitor()
    return Surroundings(
        global_trigger_limit=monitor.global_trigger_limit,
        watches_keys=monitor.is_enabled and monitor.monitor_user_keys,
        watches_organisations=monitor.is_enabled and monitor.monitor_org_keys,
        answers_as_tyk=settings.GATEWAY_RESPONSES == "tyk",
        enforces_organisations=configuration.enforces_organisations,
    )
