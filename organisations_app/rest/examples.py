"""Examples in OpenAPI: a request and an answer for every operation, consistent with each other.

What people send is written down here, by component; an answer is the same with what the gateway adds.
"""

from collections.abc import Mapping
from typing import Any

KEY_ID = "key_4QmXc0RkT1vZ8sYa"
SESSION = {
    "quota_max": 1000,
    "quota_renewal_rate": 86400,
    "rate": 10,
    "per": 1,
    "monitor": {"trigger_limits": [90, 75, 50]},
}
LIMIT = {"quota_max": 100, "quota_renewal_rate": 3600, "rate": 5, "per": 1}
RIGHTS = {"orders": {"api_id": "orders", "limit": LIMIT}}
KEY = {
    "org_id": "acme",
    "alias": "Web shop",
    "apply_policies": ["free"],
    "meta_data": {"plan": "free"},
    "tags": ["web"],
}
RAW_KEY = "tg_v7Qm2Xc0RkT1vZ8sYaN4pLw9EbHd3UfG_1kQz9B"
MONITOR = {
    "name": "Operations",
    "org_id": "acme",
    "method": "POST",
    "target_path": "https://hooks.example.com/quota",
    "header_map": {"X-Token": "••••••"},
    "event_timeout": 10,
    "global_trigger_limit": 80,
    "monitor_user_keys": True,
    "monitor_org_keys": True,
    "key_format": "masked",
}
# What is sent, by component.
SENT: Mapping[str, dict[str, Any]] = {
    "Organisation": {"id": "acme", "name": "Acme", "timezone": "Europe/Berlin"},
    "PatchedOrganisation": {"timezone": "Europe/Vienna"},
    "Developer": {
        "org_id": "acme",
        "email": "ada@acme.example",
        "first_name": "Ada",
        "role": "admin",
    },
    "PatchedDeveloper": {"role": "member"},
    "Application": {"developer_id": 1, "name": "Web shop", "description": "Orders from the web"},
    "PatchedApplication": {"name": "Shop"},
    "Attribute": {"name": "team", "kind": "string", "add_to_key_metadata": True},
    "PatchedAttribute": {"add_to_key_metadata": False},
    "EmailChoiceShape": {"thresholds": "digest", "digest_at": "07:30:00"},
    "Api": {
        "id": "orders",
        "org_id": "acme",
        "name": "Orders",
        "listen_path": "/orders/",
        "target_url": "https://orders.example.com/v2",
        "strip_listen_path": True,
    },
    "PatchedApi": {"is_active": False},
    "PolicyShape": {
        "id": "free",
        "org_id": "acme",
        "name": "Free",
        **SESSION,
        "access_rights": {"orders": {"api_id": "orders"}},
    },
    "ChangedPolicyShape": {"quota_max": 500},
    "ReplacedPolicyShape": {
        "name": "Free",
        **SESSION,
        "quota_max": 2000,
        "access_rights": {"orders": {"api_id": "orders"}},
    },
    "PatchedPolicyShape": {"quota_max": 2000},
    "SessionShape": {"org_id": "acme", **SESSION},
    "OrganisationSessionShape": SESSION,
    "KeyShape": KEY,
    "NewKeyShape": {**KEY, "key": RAW_KEY},
    "PatchedKeyShape": {"alias": "Shop", "tags": ["web", "eu"]},
    "BulkShape": {"keys": [KEY, {**KEY, "alias": "Mobile app"}]},
    "ReasonShape": {"reason": "Outage on our side, ticket 4711"},
    "RotateShape": {"overlap_seconds": 3600, "reason": "Yearly rotation"},
    "RemainingShape": {"quota_remaining": 500, "reason": "Credit after the outage"},
    "Monitor": MONITOR,
    "PatchedMonitor": {"is_enabled": False},
    "RotateSecretShape": {"overlap_seconds": 86400, "reason": "Yearly rotation"},
    "NewSecretShape": {**MONITOR, "signing_secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDzk5pUZh9mKw="},
    "GatewayMonitorShape": {
        "enable_trigger_monitors": True,
        "configuration": {
            "method": "POST",
            "target_path": "https://hooks.example.com/quota",
            "header_map": {"X-Token": "••••••"},
            "event_timeout": 10,
        },
        "global_trigger_limit": 80,
        "monitor_user_keys": True,
        "monitor_org_keys": True,
    },
    "Token": {"name": "Billing", "org_id": "acme", "scopes": ["keys:read", "usage:read"]},
}
# What the gateway says of its own, by the member's name; `Component.member` where that is not enough.
SAID: Mapping[str, Any] = {
    "NewTokenShape.token": "tgat_9HbHd3UfGv7Qm2Xc0RkT1vZ8sYaN4pLw_0aTr5C",
    "NewTokenShape.name": "Billing",
    "Token.hint": "tgat_…Tr5C",
    "NewTokenShape.hint": "tgat_…Tr5C",
    "Attribute.name": "team",
    "PreviewShape.denied_total": 140,
    "PreviewShape.passed_total": 9860,
    "PreviewShape.denied_unchanged_total": 0,
    "PreviewShape.above_now_total": 1,
    "PreviewShape.admitted_at_most": 0,
    "PreviewShape.refused_total": 0,
    "PreviewShape.precision": "exact",
    "PreviewShape.exactness": "Calendar periods on whole hours, or one endless period: the counts are exact.",
    "PreviewJobShape.policy_id": "free",
    "PreviewJobShape.status": "running",
    "PreviewJobShape.keys_done": 12000,
    "PreviewJobShape.keys_total": 50000,
    "PreviewJobShape.finished_at": None,
    "PreviewJobShape.problem": "",
    "PreviewJobShape.preview": None,
    "RecountedShape.subject": "Web shop",
    "RecountedShape.key_ids": [KEY_ID],
    "RecountedShape.passed": 9860,
    "RecountedShape.denied": 140,
    "DayPreviewShape.passed": 990,
    "DayPreviewShape.denied": 10,
    "organisation_id": "acme",
    "day": "2026-01-01",
    "refused_address": "",
    "ResetShape.id": KEY_ID,
    "ResetShape.used": 1000,
    "RemainingSetShape.id": KEY_ID,
    "KeyShape.id": KEY_ID,
    "NewKeyShape.id": KEY_ID,
    "KeyUsageShape.id": KEY_ID,
    "BacklogShape.waiting": 3,
    "BacklogShape.due": 2,
    "BacklogShape.oldest_due_seconds": 84.2,
    "BacklogShape.failed": 12,
    "BacklogShape.queues": {"relay": 0, "deliveries": 2, "mail": 0, "housekeeping": 0, "celery": 0},
    "BacklogShape.warnings": [
        "2 deliveries are due, the oldest for 84 s: do workers serve the queues deliveries, mail and housekeeping,"
        " and does beat run?"
    ],
    "WaitingEventsShape.waiting": 0,
    "WaitingEventsShape.oldest_seconds": 0.0,
    "LineShape.target": "hooks.example.com:443",
    "LineShape.waiting": 3,
    "LineShape.due": 2,
    "LineShape.oldest_due_seconds": 84.2,
    "LineShape.most_attempts": 4,
    "Event.source": "free",
    "Event.counter": f"{KEY_ID}:policy:free",
    "Event.kind": "key",
    "Event.used": 800,
    "Delivery.subject": KEY_ID,
    "DeliveryDetail.subject": KEY_ID,
    "OriginShape.id": "free",
    "OriginShape.name": "Free",
    "OriginShape.kind": "policy",
    "ExplanationShape.refusal": None,
    "ExplainedLimitShape.name": "key-quota",
    "ExplainedLimitShape.counter": f"{KEY_ID}:policy:free",
    "ExplainedLimitShape.subject": None,
    "ExplainedLimitShape.sharers": None,
    "ExplainedLimitShape.losers": [],
    "StateShape.name": "key-quota",
    "Audit.action": "reset-quota",
    "ProblemShape.type": "about:blank",
    "ProblemShape.title": "Bad Request",
    "ProblemShape.status": 400,
    "ProblemShape.detail": "quota_max: must be 1 or more, or -1 for unlimited",
    "ProblemShape.code": "invalid",
    "ErrorShape.pointer": "/quota_max",
    "ErrorShape.detail": "must be 1 or more, or -1 for unlimited",
    "ErrorShape.code": "invalid",
    "AttemptShape.error": "",
    "AttemptShape.response_body": "ok",
    "AttemptShape.status_code": 200,
    "MonitorShape.trigger_limits": [90, 75, 50],
    "Monitor.signing_secret": "••••••",
    "GatewayMonitorShape.signing_secret": "••••••",
    "access_rights": RIGHTS,
    "actor": "token:Billing",
    "after": {"used": {"": 0}},
    "alias": "Web shop",
    "api_id": "orders",
    "api_ids": ["orders"],
    "api_name": "Orders",
    "attempt_count": 1,
    "before": {"used": {"": 1000}},
    "created_by": "token:root",
    "disabled_reason": "",
    "duration_ms": 87,
    "failing_since": None,
    "failures_in_row": 0,
    "inactive_policies": [],
    "key_hash": "5f0c7b3e9a2d41c68f1be07a93d2c4557e60b18ad93f24c0b7e1a5d86f3c9024",
    "key_hint": "tg_…Qz9B",
    "key_id": KEY_ID,
    "OriginShape.limits": LIMIT,
    "max": 1000,
    "message_id": "msg_8Xw2ZkqT0vYs4LrB1dNcE7mA",
    "meta_data": {"plan": "free"},
    "method": "POST",
    "name": "Web shop",
    "needed": 750,
    "next": None,
    "next_attempt_at": None,
    "org_id": "acme",
    "percent": "75",
    "period_seconds": 86400,
    "previous": None,
    "quota_max": 1000,
    "quota_remaining": 200,
    "quota_remaining_before": 0,
    "quota_renews": 1767312000,
    "reason": "Outage on our side, ticket 4711",
    "recipient": "https://hooks.example.com/quota",
    "redelivered": 12,
    "remaining": 200,
    "renews_at": 1767312000,
    "reset_seconds": 43200,
    "resets_at": 1767312000,
    "revoked_at": None,
    "scope": "policy:free",
    "scopes": ["keys:read", "usage:read"],
    "status": "delivered",
    "subject_id": KEY_ID,
    "subject_kind": "key",
    "template": "",
    "template_path": "",
    "trigger_limit": "80",
    "unknown_policies": [],
    "used": 800,
    "username": "ada@acme.example",
    "email": "ada@acme.example",
    "window_seconds": 86400,
    "asked_by": "own",
    "last_updated": "1767225600",
}
MOMENT = "2026-01-01T12:00:00Z"
BY_TYPE: Mapping[str, Any] = {"string": "", "integer": 1, "number": 1, "boolean": False, "object": {}, "array": []}


def add_examples(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular."""
    components = result["components"]["schemas"]
    for path in result["paths"].values():
        for operation in path.values():
            for media in _media(operation.get("requestBody", {})):
                media["example"] = _sent(media["schema"])
            for response in operation["responses"].values():
                for media in _media(response):
                    media["example"] = _said(media["schema"], components)
    return result


def _media(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [media for media in body.get("content", {}).values() if "schema" in media]


def _sent(schema: Mapping[str, Any]) -> Any:
    """An optional body without an example of its own may be empty."""
    return SENT.get(_name(schema), {})


def _said(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    if name := _name(schema):
        if "properties" not in components[name]:
            return _plain(components[name])
        return {**_members(name, components), **SENT.get(name, {})}
    if schema.get("type") == "array":
        return [_said(schema["items"], components)]
    return _plain(schema)


def _members(name: str, components: Mapping[str, Any]) -> dict[str, Any]:
    return {
        member: _member(f"{name}.{member}", member, schema, components)
        for member, schema in components[name]["properties"].items()
        if not schema.get("writeOnly")
    }


def _member(path: str, member: str, schema: Mapping[str, Any], components: Mapping[str, Any]) -> Any:
    for known in (path, member):
        if known in SAID:
            return SAID[known]
    return _said(schema, components)


def _plain(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == "date-time":
        return MOMENT
    kind = schema.get("type", "object")
    return BY_TYPE[next(each for each in kind if each != "null") if isinstance(kind, list) else kind]


def _name(schema: Mapping[str, Any]) -> str:
    """Of the component that a schema refers to, also through one of several."""
    for option in (schema, *schema.get("allOf", ()), *schema.get("oneOf", ())):
        if "$ref" in option:
            return str(option["$ref"]).rpartition("/")[2]
    return ""
