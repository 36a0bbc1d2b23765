"""Tyk's `monitor` section and our gateway monitor: used by the REST API and the import alike.

Beyond Tyk there are `signing_secret`, `key_format` and `configuration.template`. What a value may be is asked of
`monitors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from monitors_app.models import Monitor
from monitors_app.monitors import MASK, gateway_monitor, masked_header_map, save_monitor
from organisations_app.documents import DocumentError, Reader, problems_of

# Members of the section by the monitor's field, and what stands for an absent one.
ROOT_MEMBERS: Mapping[str, tuple[str, Any]] = {
    "is_enabled": ("enable_trigger_monitors", False),
    "global_trigger_limit": ("global_trigger_limit", 0),
    "monitor_user_keys": ("monitor_user_keys", False),
    "monitor_org_keys": ("monitor_org_keys", False),
    "key_format": ("key_format", "raw"),
}
CONFIGURATION_MEMBERS: Mapping[str, tuple[str, Any]] = {
    "method": ("method", "POST"),
    "target_path": ("target_path", ""),
    "template_path": ("template_path", ""),
    "template": ("template", ""),
    "event_timeout": ("event_timeout", 0),
}
IGNORED_BY_TYK = ("disabled", "id", "name")  # Tyk's webhook settings have them; its monitor does not look at them
POINTERS: Mapping[str, str] = {
    **{field: f"/{name}" for field, (name, _) in ROOT_MEMBERS.items()},
    **{field: f"/configuration/{name}" for field, (name, _) in CONFIGURATION_MEMBERS.items()},
    "header_map": "/configuration/header_map",
}


@dataclass(frozen=True, slots=True)
class MonitorDraft:
    """The gateway monitor as somebody wants it. `values` by field, as they came; `signing_secret` None keeps it."""

    values: Mapping[str, Any]
    header_map: Any = field(default_factory=dict)
    signing_secret: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def monitor_from_tyk(document: Any, *, strict: bool = False) -> MonitorDraft:
    """The section's shape. `strict` refuses unknown members, else they are kept. Raises DocumentError."""
    reader = Reader(document)
    configuration = reader.nested("configuration")
    values = {field: _value(reader, *member) for field, member in ROOT_MEMBERS.items()}
    values |= {field: _value(configuration, *member) for field, member in CONFIGURATION_MEMBERS.items()}
    values["method"] = str.upper(values["method"]) if isinstance(values["method"], str) else values["method"]
    if reader.raw("template"):
        values["template"] = reader.raw("template")
    headers, secret = configuration.raw("header_map"), reader.raw("signing_secret")
    reader.skip("disabled_reason")
    extra = {**reader.rest(), "configuration": configuration.rest()}
    configuration.skip(*IGNORED_BY_TYK)
    for each in (reader, configuration) if strict else ():
        each.refuse_rest()
    if secret is not None and not isinstance(secret, str):
        reader.refuse("signing_secret", "must be a text: whsec_ and base64")
    reader.finish()
    return MonitorDraft(values, {} if headers is None else headers, secret, extra)


def _value(reader: Reader, name: str, default: Any) -> Any:
    """As it came; null is as good as absent, and so is an empty text where a text is meant."""
    value = reader.raw(name)
    return default if value is None or (value == "" and isinstance(default, str)) else value


def save_monitor_draft(draft: MonitorDraft) -> str | None:
    """Makes the gateway monitor as the draft says; returns a signing secret if one was generated.

    Raises DocumentError.
    """
    monitor = gateway_monitor()
    for name, value in draft.values.items():
        setattr(monitor, name, value)
    monitor.extra = dict(draft.extra)
    try:
        return save_monitor(monitor, header_map=draft.header_map, signing_secret=draft.signing_secret)
    except ValidationError as error:
        raise DocumentError(problems_of(error, POINTERS)) from None


def monitor_to_tyk(monitor: Monitor) -> dict[str, Any]:
    """The section, with secrets masked (rule 7.8)."""
    configuration = {name: getattr(monitor, field) for field, (name, _) in CONFIGURATION_MEMBERS.items()}
    return {
        **monitor.extra,
        **{name: getattr(monitor, field) for field, (name, _) in ROOT_MEMBERS.items()},
        "configuration": {
            **monitor.extra.get("configuration", {}),
            **configuration,
            "header_map": masked_header_map(monitor),
        },
        "signing_secret": MASK if monitor.signing_secret_sealed else "",
        "disabled_reason": monitor.disabled_reason,
    }
