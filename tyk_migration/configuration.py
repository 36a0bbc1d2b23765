"""tyk.conf: the monitor section becomes the gateway monitor; every other member is told to be taken or not, and why."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.db import transaction

from monitors_app import bodies
from monitors_app.models import Monitor
from monitors_app.monitors import MASK, gateway_monitor, header_map, unmasked
from monitors_app.tyk import MonitorDraft, monitor_from_tyk, save_monitor_draft
from organisations_app.documents import DocumentError, refusal
from organisations_app.sealing import SealBroken, unseal
from tyk_migration.names import AUTO
from tyk_migration.report import Outcome, Report, Setting
from tyk_migration.sources import SourceError, read_document

KIND = "monitor"
ELSEWHERE = "set by the environment here: {}"
WHY_IGNORED: Mapping[str, str] = {
    "secret": "never imported: GATEWAY_ADMIN_SECRET is this gateway's own",
    "node_secret": "never imported: GATEWAY_ADMIN_SECRET is this gateway's own",
    "storage": ELSEWHERE.format("REDIS_URL"),
    "listen_port": ELSEWHERE.format("PORT"),
    "listen_address": ELSEWHERE.format("what the server is started with"),
    "app_path": "name the folder with --apis",
    "policies": "name the file or folder with --policies",
    "template_path": "templates are looked for beside tyk.conf and in templates/",
    "health_check": "/healthz and /readyz always answer",
    "enable_analytics": "usage per hour is always kept",
    "analytics_config": "usage per hour is always kept",
    "allow_insecure_configs": "there is nothing insecure to allow",
    "hide_generator_header": "no such header is sent",
    "close_connections": "connections are kept open",
    "rate_limit_response_headers": "X-RateLimit-* say the quota, RateLimit says both",
    "override_messages": "messages are fixed; GATEWAY_RESPONSES=tyk answers as Tyk",
    "min_token_length": "keys have 3 to 256 characters",
    "global_session_lifetime": "sessions are kept until they are deleted",
    "force_global_session_lifetime": "sessions are kept until they are deleted",
    "suppress_redis_signal_reload": "changes hold with the next request, without a reload",
    "middleware_path": "plugins do not run",
    "coprocess_options": "plugins do not run",
    "enable_jsvm": "plugins do not run",
    "tyk_js_path": "plugins do not run",
    "enable_bundle_downloader": "plugins do not run",
    "bundle_base_url": "plugins do not run",
    "event_handlers": "events are thresholds of quotas only, told by monitors",
    "use_db_app_configs": "definitions come from files",
    "db_app_conf_options": "definitions come from files",
    "enforce_org_data_age": "usage is pruned by the gateway's own retention",
    "experimental_process_org_off_thread": "organisation limits are exact, in the request",
}
RATE_LIMITERS = (
    "enable_non_transactional_rate_limiter",
    "enable_sentinel_rate_limiter",
    "enable_redis_rolling_limiter",
    "enable_fixed_window_rate_limiter",
    "enable_rate_limit_smoothing",
    "drl_threshold",
)
DEFAULT_TEMPLATE_NAME = "monitor_template.json"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What else of tyk.conf matters to the import. `enforces_organisations` None: no tyk.conf was given."""

    enforces_organisations: bool | None = None
    hashed: str | None = None
    allows_master_keys: bool = False
    monitor: MonitorDraft | None = None


def read_configuration(path: Path, report: Report) -> Configuration:
    """Reads tyk.conf and reports each of its members; changes nothing.

    Raises SourceError with file, line and reason, also for a monitor that cannot be taken.
    """
    document = read_document(path)
    if not isinstance(document, dict):
        raise SourceError(str(path), "must be a JSON object")
    report.settings += _settings(document)
    hashes = document.get("hash_keys") is True
    return Configuration(
        enforces_organisations=document.get("enforce_org_quotas") is True,
        hashed=AUTO if hashes else None,
        allows_master_keys=document.get("allow_master_keys") is True,
        monitor=_monitor(path, document["monitor"]) if document.get("monitor") is not None else None,
    )


# Of a member's value.
TAKEN: Mapping[str, Callable[[Any], str]] = {
    "monitor": lambda _: "becomes the gateway monitor",
    "enforce_org_quotas": lambda value: (
        "organisation sessions limit their organisation"
        if value
        else "an organisation session always limits its organisation here: leave --orgs out if none should"
    ),
    "hash_keys": lambda value: (
        "names of keys are hashes, told apart by their length" if value else "names of keys are the raw keys"
    ),
    "hash_key_function": lambda value: f"{value or 'murmur32'}: hashes are told apart by their length",
    "allow_master_keys": lambda value: (
        "keys without access rights are refused all the same" if value else "as here: a key needs access rights"
    ),
}


def _settings(document: Mapping[str, Any]) -> Iterator[Setting]:
    for name, value in document.items():
        if name in TAKEN:
            yield Setting(name, True, TAKEN[name](value))
        elif name in RATE_LIMITERS:
            yield Setting(name, False, "there is one rate limiter: a sliding window, exact over all nodes")
        else:
            yield Setting(name, False, WHY_IGNORED.get(name, "has no counterpart here"))


# --- the monitor ------------------------------------------------------------------------------------------------------


def _monitor(path: Path, section: Any) -> MonitorDraft:
    try:
        draft = _with_template(path, monitor_from_tyk(section))
        _parse_template(draft)
    except DocumentError as error:
        problem = error.problems[0]
        raise SourceError(f"{path}#/monitor{problem.pointer}", problem.detail) from None
    return draft


def _with_template(path: Path, draft: MonitorDraft) -> MonitorDraft:
    """Templates lie on Tyk's machine; what is found beside tyk.conf comes along as text."""
    named = draft.values["template_path"]
    if not isinstance(named, str) or not named or draft.values["template"]:
        return draft
    file = _template_file(path, named)
    text = file.read_text(encoding="utf-8") if file else ""
    if Path(named).name == DEFAULT_TEMPLATE_NAME and (not text or _is_default(text)):
        return _with_values(draft, template_path=bodies.DEFAULT_PATH)
    return _with_values(draft, template=text, template_path="") if file else draft


def _template_file(path: Path, named: str) -> Path | None:
    beside = path.parent
    for file in (Path(named), beside / named, beside / "templates" / Path(named).name, beside / Path(named).name):
        if file.is_file():
            return file
    return None


def _is_default(text: str) -> bool:
    """Tyk's shipped template says what ours says, in Tyk's names."""
    try:
        found = bodies.PLACEHOLDER.sub(lambda match: f"{{{{ {bodies.TYK_NAMES.get(match[1], match[1])} }}}}", text)
        return bool(bodies.parse(found) == bodies.parse(bodies.DEFAULT_TEMPLATE))
    except bodies.TemplateError:
        return False


def _parse_template(draft: MonitorDraft) -> None:
    """Raises DocumentError naming the line."""
    template, template_path = draft.values["template"], draft.values["template_path"]
    if isinstance(template, str) and isinstance(template_path, str):
        try:
            bodies.template_of(template, template_path)
        except bodies.TemplateError as error:
            raise refusal("/configuration/template_path", str(error)) from None


def _without_masks(monitor: Monitor, draft: MonitorDraft, report: Report) -> MonitorDraft:
    """An export without secrets has masks: those that stand for nothing here are left out."""
    if not isinstance(draft.header_map, dict) or MASK not in draft.header_map.values():
        return draft
    stored = {name.lower() for name in _headers(monitor)}
    lost = [name for name, value in draft.header_map.items() if value == MASK and name.lower() not in stored]
    for name in lost:
        report.note(f"monitor: the value of the header {name} is masked in the file: set it by hand")
    return replace(draft, header_map={name: value for name, value in draft.header_map.items() if name not in lost})


def _with_values(draft: MonitorDraft, **values: Any) -> MonitorDraft:
    return replace(draft, values={**draft.values, **values})


def import_monitor(path: Path, draft: MonitorDraft, report: Report) -> None:
    """Makes the gateway monitor as tyk.conf says, unless it is so already."""
    report.begin(KIND)
    monitor = gateway_monitor()
    draft = _without_masks(monitor, draft, report)
    if _is_as(monitor, draft):
        report.count(KIND, Outcome.UNCHANGED)
        return
    try:
        with transaction.atomic():
            secret = save_monitor_draft(draft)
    except DocumentError as error:
        for problem in error.problems:
            report.refuse(KIND, f"{path}#/monitor", "", problem.detail, problem.pointer)
        report.count(KIND, Outcome.REFUSED)
        return
    report.count(KIND, Outcome.CHANGED)
    if secret and not report.is_dry:
        report.note(f"monitor: webhooks are signed from now on; the signing secret, shown only now, is {secret}")


def _is_as(monitor: Monitor, draft: MonitorDraft) -> bool:
    return (
        all(getattr(monitor, name) == value for name, value in draft.values.items())
        and isinstance(draft.header_map, dict)
        and unmasked(monitor, draft.header_map) == _headers(monitor)
        and _without_empty(monitor.extra) == _without_empty(draft.extra)
        and draft.signing_secret in (None, "", MASK, _secret(monitor))
    )


def _without_empty(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if value != {}}


def _headers(monitor: Monitor) -> dict[str, str]:
    try:
        return header_map(monitor)
    except SealBroken:
        return {}


def _secret(monitor: Monitor) -> str:
    try:
        return unseal(monitor.signing_secret_sealed)
    except SealBroken:
        return ""
