"""API definitions and policies between Tyk's JSON and ours; used by the administration APIs, import and export alike.

Pure. What Tyk says and we do not model is kept in `extra` and given back. `strict` is the REST API's reading: there an
unknown member or a `quota_max` of 0 is refused; Tyk's dialect keeps the one, and the other is unlimited (rule 2.2).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from organisations_app.documents import Reader
from organisations_app.models import IDENTIFIER
from policies_app.drafts import ApiDraft, PolicyDraft, RightDraft
from policies_app.limits import LIMIT_FIELDS, MAX_SECONDS, UNLIMITED, Limits, limit_errors, threshold_errors
from policies_app.models import (
    PARTITIONS,
    AccessRightFields,
    Api,
    Policy,
    check_listen_path,
    check_target_url,
    meta_data_errors,
    partition_error,
)

HEADER_NAME = re.compile(r"\A[A-Za-z0-9!#$%&'*+.^_`|~-]*\Z")
LIVE_MEMBERS = ("quota_remaining", "quota_renews")
DEFAULTS_LEFT_OUT = {"quota_period": "rolling", "quota_anchor_day": 1}
RIGHT_MEMBERS = frozenset(
    {
        "allowance_scope",
        "allowed_types",
        "allowed_urls",
        "api_id",
        "api_name",
        "disable_introspection",
        "endpoints",
        "field_access_rights",
        "limit",
        "restricted_types",
        "versions",
    }
)
LIMIT_MEMBERS = frozenset({*LIMIT_FIELDS, *LIVE_MEMBERS, "max_query_depth", "smoothing"})


# --- reading ----------------------------------------------------------------------------------------------------------


def api_from_tyk(document: Any, *, api_id: str = "", organisation_id: str = "") -> ApiDraft:
    """An API definition; `api_id` and `organisation_id` stand in for absent members.

    Raises DocumentError with everything that is wrong.
    """
    reader = Reader(document)
    proxy, auth = reader.nested("proxy"), reader.nested("auth")
    draft = ApiDraft(
        id=read_identifier(reader, "api_id") or api_id,
        organisation_id=read_organisation_id(reader, organisation_id),
        name=reader.text("name", longest=200),
        listen_path=read_listen_path(proxy),
        target_url=read_target_url(proxy),
        strip_listen_path=proxy.boolean("strip_listen_path"),
        is_active=reader.boolean("active", True),
        auth_header_name=read_header_name(auth),
        disable_quota=reader.boolean("disable_quota"),
        disable_rate_limit=reader.boolean("disable_rate_limit"),
        on_store_failure=read_on_store_failure(reader),
        extra=with_nested(reader, proxy=proxy, auth=auth),
    )
    reader.finish()
    return draft


def policy_from_tyk(
    document: Any, *, policy_id: str = "", organisation_id: str = "", strict: bool = False
) -> PolicyDraft:
    """A policy; `policy_id` and `organisation_id` stand in for absent members.

    Raises DocumentError with everything that is wrong.
    """
    reader = Reader(document)
    inner_id, active = ("", True) if strict else (_object_id(reader), reader.boolean("active", True))
    reader.skip("last_updated", *LIVE_MEMBERS)
    partitions, monitor = reader.nested("partitions"), reader.nested("monitor")
    draft = PolicyDraft(
        id=read_identifier(reader, "id") or inner_id or policy_id,
        organisation_id=read_organisation_id(reader, organisation_id),
        name=reader.text("name", longest=200),
        limits=read_limits(reader, strict=strict),
        trigger_limits=read_trigger_limits(monitor),
        rights=read_rights(reader, strict=strict),
        partitions=read_partitions(reader, partitions),
        is_inactive=reader.boolean("is_inactive") or not active,
        key_expires_in=reader.whole(
            "key_expires_in", low=-MAX_SECONDS, high=MAX_SECONDS, meaning=" of seconds (0 or less: never)"
        ),
        meta_data=read_meta_data(reader),
        tags=tuple(reader.texts("tags")),
        extra={**with_nested(reader, partitions=partitions, monitor=monitor), **({} if active else {"active": False})},
    )
    finish(reader, strict, partitions, monitor)
    return draft


def finish(reader: Reader, strict: bool, *nested: Reader) -> None:
    """Raises DocumentError if anything was wrong; when strict, unknown members are."""
    for each in (reader, *nested) if strict else ():
        each.refuse_rest()
    reader.finish()


def read_identifier(reader: Reader, name: str) -> str:
    value = reader.text(name)
    if value:
        reader.check(name, value, IDENTIFIER)
    return value


def read_organisation_id(reader: Reader, fallback: str = "") -> str:
    value = read_identifier(reader, "org_id") or fallback
    if not value:
        reader.refuse("org_id", "is required: the id of the organisation that this belongs to", "required")
    return value


def read_listen_path(proxy: Reader) -> str:
    """Tyk's definitions often leave the closing slash out."""
    path = proxy.text("listen_path", longest=199)
    if not path:
        proxy.refuse(
            "listen_path", "is required: the path under which callers reach the API, for example /orders/", "required"
        )
        return ""
    path = path if path.endswith("/") else f"{path}/"
    proxy.check("listen_path", path, check_listen_path)
    return path


def read_target_url(proxy: Reader) -> str:
    url = proxy.text("target_url", longest=500)
    if url:
        proxy.check("target_url", url, check_target_url)
    return url


def read_header_name(auth: Reader) -> str:
    name = auth.text("auth_header_name", longest=100)
    if not HEADER_NAME.match(name):
        auth.refuse("auth_header_name", "must be the name of an HTTP header, for example X-Api-Key")
    return name


def read_on_store_failure(reader: Reader) -> str:
    value = reader.text("on_store_failure", Api.OnStoreFailure.OPEN)
    if value not in Api.OnStoreFailure.values:
        reader.refuse("on_store_failure", f"must be open or closed, not {value!r}")
    return value


def read_limits(reader: Reader, *, strict: bool) -> Limits:
    """The limit members of a session, policy or access right."""
    values = {name: value for name in LIMIT_FIELDS if (value := reader.raw(name)) is not None}
    if not values:
        return Limits()
    maximum = values.get("quota_max")
    if not strict and isinstance(maximum, int | float) and not isinstance(maximum, bool) and maximum <= 0:
        values["quota_max"] = UNLIMITED
    errors = limit_errors(values)
    for name, message in errors.items():
        reader.refuse(name, message)
    return Limits() if errors else Limits(**{name: whole_if_whole(value) for name, value in values.items()})


def read_trigger_limits(monitor: Reader) -> tuple[float, ...]:
    """Rule 7.2."""
    value = monitor.raw("trigger_limits")
    if value is None:
        return ()
    if message := threshold_errors(value):
        monitor.refuse("trigger_limits", message)
        return ()
    return tuple(value)


def read_meta_data(reader: Reader) -> dict[str, Any]:
    """Rule 5.2: a pattern in it must mean something."""
    meta_data = reader.mapping("meta_data")
    if message := meta_data_errors(meta_data, []).get("meta_data"):
        reader.nested("meta_data").refuse("rate_limit_pattern", message)
    return meta_data


def read_partitions(reader: Reader, partitions: Reader) -> frozenset[str]:
    """Rule 3.5."""
    chosen = frozenset(part for part in PARTITIONS if partitions.boolean(part))
    if message := partition_error(chosen):
        reader.refuse("partitions", message)
    return chosen


def read_rights(reader: Reader, *, strict: bool) -> tuple[RightDraft, ...]:
    """`access_rights`: an object with one member per API id."""
    rights = reader.nested("access_rights")
    return tuple(_read_right(rights, api_id, strict) for api_id in rights.document)


def _read_right(rights: Reader, api_id: str, strict: bool) -> RightDraft:
    rights.check(api_id, api_id, IDENTIFIER)
    reader = rights.nested(api_id)
    named = reader.text("api_id")
    if named and named != api_id:
        reader.refuse("api_id", f"names another API than the member that it stands in ({api_id})")
    limit = reader.nested("limit")
    limits = read_limits(limit, strict=strict)
    limit.skip(*LIVE_MEMBERS)
    if strict:
        _refuse_unknown(reader, RIGHT_MEMBERS)
        _refuse_unknown(limit, LIMIT_MEMBERS)
    return RightDraft(api_id, limits if _has_own_limits(limit) else None, with_nested(reader, limit=limit))


def _has_own_limits(limit: Reader) -> bool:
    """Tyk's test: one number that is not 0 is enough, and an explicit -1 is a limit, too."""
    return any(limit.document.get(name) for name in LIMIT_FIELDS if name not in DEFAULTS_LEFT_OUT)


def _refuse_unknown(reader: Reader, known: frozenset[str]) -> None:
    for name in reader.document.keys() - known:
        reader.refuse(name, f"is no member here; known are {', '.join(sorted(known))}", "unknown")


def _object_id(reader: Reader) -> str:
    """Tyk's `_id`: hexadecimal digits, or MongoDB's extended JSON of them."""
    value = reader.raw("_id")
    return str(value.get("$oid", "")) if isinstance(value, dict) else value if isinstance(value, str) else ""


def with_nested(reader: Reader, **nested: Reader) -> dict[str, Any]:
    """Members that we do not model, also of objects inside."""
    return {**reader.rest(), **{name: rest for name, inner in nested.items() if (rest := inner.rest())}}


# --- writing ----------------------------------------------------------------------------------------------------------


def api_to_tyk(api: Api) -> dict[str, Any]:
    """An API definition as Tyk shows it."""
    extra = api.extra
    own = {"listen_path": api.listen_path, "target_url": api.target_url, "strip_listen_path": api.strip_listen_path}
    return {
        **extra,
        "api_id": api.pk,
        "name": api.name,
        "org_id": api.organisation_id,
        "active": api.is_active,
        "proxy": {**extra.get("proxy", {}), **own},
        "auth": {**extra.get("auth", {}), "auth_header_name": api.auth_header_name},
        "disable_quota": api.disable_quota,
        "disable_rate_limit": api.disable_rate_limit,
        **({"on_store_failure": api.on_store_failure} if api.on_store_failure != Api.OnStoreFailure.OPEN else {}),
    }


def policy_to_tyk(
    policy: Policy, rights: Iterable[AccessRightFields], names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A policy as Tyk shows it. `names` are the APIs' names by id.

    One that Tyk's `active: false` switched off shows that, so that the member which was written is the one to change.
    """
    extra = policy.extra
    active = not (policy.is_inactive and extra.get("active") is False)
    return {
        **extra,
        "id": policy.pk,
        "name": policy.name,
        "org_id": policy.organisation_id,
        **limits_to_tyk(policy.limits()),
        "access_rights": {right.api_id: right_to_tyk(right, names or {}) for right in rights},
        "active": active,
        "is_inactive": policy.is_inactive and active,
        "partitions": {**extra.get("partitions", {}), **{part: part in policy.partitions for part in PARTITIONS}},
        "key_expires_in": policy.key_expires_in,
        "meta_data": policy.meta_data,
        "tags": policy.tags,
        "monitor": {**extra.get("monitor", {}), "trigger_limits": policy.trigger_limits},
    }


def right_to_tyk(right: AccessRightFields, names: Mapping[str, str]) -> dict[str, Any]:
    """One access right; `limit` is an empty object when it has no limits of its own: Tyk's is never null."""
    own = right.own_limits()
    unknown = right.extra.get("limit", {})
    return {
        **right.extra,
        "api_id": right.api_id,
        "api_name": right.extra.get("api_name") or names.get(right.api_id, ""),
        "limit": {**unknown, **(limits_to_tyk(own) if own else {})},
    }


def limits_to_tyk(limits: Limits) -> dict[str, Any]:
    """The members that Tyk has, and ours where they say more than Tyk can."""
    values = {name: whole_if_whole(value) for name, value in asdict(limits).items()}
    return {name: value for name, value in values.items() if DEFAULTS_LEFT_OUT.get(name) != value}


def whole_if_whole(value: Any) -> Any:
    """5.0 as 5, as Tyk prints numbers; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
