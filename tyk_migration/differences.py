"""Which behaviours will differ from Tyk, told from the data alone. Pure; semantics section 10 and Tyk's source.

Each function yields sentences; the report groups rows by them, so that a sentence names no row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from policies_app import patterns
from policies_app.drafts import ApiDraft, PolicyDraft, RightDraft
from policies_app.limits import KeyTerms, Limits, PolicyTerms, merged_meta_data, threshold_label
from sessions_app.drafts import SessionDraft

MASTER_KEY = (
    "a key without access rights and policies opens every API in Tyk: here it is refused, give it access rights"
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a row is compared against: the monitor's global limit, how denials look, and the policies by id."""

    global_trigger_limit: float = 0
    watches_keys: bool = False
    watches_organisations: bool = False
    answers_as_tyk: bool = False
    enforces_organisations: bool | None = None  # None: no tyk.conf was given
    policies: Mapping[str, PolicyDraft] = field(default_factory=dict)


# --- definitions ------------------------------------------------------------------------------------------------------

API_MEMBERS: Mapping[str, str] = {
    "use_keyless": "the API is keyless in Tyk: here every request needs a key",
    "use_oauth2": "OAuth tokens are not known here: callers need a key",
    "use_openid": "OpenID tokens are not known here: callers need a key",
    "enable_jwt": "JSON web tokens are not known here: callers need a key",
    "use_basic_auth": "basic authentication is not known here: callers need a key",
    "use_mutual_tls_auth": "client certificates are not checked here",
    "enable_signature_checking": "HMAC signatures are not checked here",
    "enable_coprocess_auth": "plugins do not run here",
    "enable_ip_whitelisting": "the list of allowed addresses is not enforced here: put it in front of the gateway",
    "enable_ip_blacklisting": "the list of refused addresses is not enforced here: put it in front of the gateway",
}
AUTH_MEMBERS: Mapping[str, str] = {
    "use_param": "keys in the query are not read here: callers send a header",
    "use_cookie": "keys in cookies are not read here: callers send a header",
    "use_certificate": "client certificates are not checked here",
}


def of_api(draft: ApiDraft) -> Iterator[str]:
    extra = draft.extra
    yield from (text for name, text in API_MEMBERS.items() if extra.get(name) is True)
    yield from (text for name, text in AUTH_MEMBERS.items() if inner(extra, "auth").get(name) is True)
    versions = inner(extra, "version_data")
    if versions and versions.get("not_versioned") is not True:
        yield "versions of an API are not told apart here: all requests go to one upstream"
    paths = [inner(each, "extended_paths") for each in inner(versions, "versions").values() if isinstance(each, dict)]
    if any(each.get("ignored") for each in paths):
        yield "ignored paths need no key in Tyk: here every path of the API does"
    if any(each.get(name) for each in paths for name in ("white_list", "black_list")):
        yield "lists of allowed and refused paths are not enforced here: all paths pass"
    if any(
        value for each in paths for name, value in each.items() if name not in ("ignored", "white_list", "black_list")
    ):
        yield "paths are not transformed, cached, mocked or limited one by one here"
    if positive(inner(extra, "global_rate_limit").get("rate")) and not extra.get("global_rate_limit_disabled"):
        yield "a rate limit of the whole API is not known here"
    if draft.disable_quota:
        yield "a quota that is switched off for an API is off for organisations, too (Tyk counts them on)"
    if extra.get("domain"):
        yield "domains are not told apart here: the listen path alone leads to the API"


def of_policy(draft: PolicyDraft, document: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    if document.get("active") is False:
        yield "active false now blocks the policy's keys (Tyk ignores it)"
    yield from _of_limits(draft.limits, document, around)
    yield from _of_thresholds(draft.limits, draft.trigger_limits, around.watches_keys, around)
    yield from _of_rights(draft.rights, document, around)
    yield from _of_pattern(draft.meta_data, draft.meta_data, is_policy=True)
    if inner(document, "partitions").get("complexity"):
        yield "the depth of GraphQL queries is not limited here"


# --- sessions ---------------------------------------------------------------------------------------------------------


def of_key(draft: SessionDraft, document: Mapping[str, Any], around: Surroundings, now: datetime) -> Iterator[str]:
    """Of a key that is taken."""
    known = [around.policies[policy_id] for policy_id in draft.policies if policy_id in around.policies]
    if not draft.policies:
        yield from _of_limits(draft.limits, document, around)
        yield from _of_thresholds(draft.limits, draft.trigger_limits, around.watches_keys, around)
    yield from _of_rights(draft.rights, document, around)
    yield from _of_policies(draft, known)
    terms = KeyTerms("", draft.limits, {}, meta_data=draft.meta_data)
    yield from _of_pattern(merged_meta_data(terms, [terms_of(policy) for policy in known]), draft.meta_data)
    yield from _of_ways_in(draft.extra)
    if draft.expires_at and draft.expires_at <= now:
        yield "the key has expired already: it is taken and answers expired_key"
    if draft.meta_data.get("policies"):
        yield "policies inside meta_data have no effect here: make them policies and apply them"


def _of_policies(draft: SessionDraft, known: Sequence[PolicyDraft]) -> Iterator[str]:
    if draft.policies and not known:
        yield "names only policies that do not exist: it opens nothing, as in Tyk, until one of them does"
    elif len(known) < len(draft.policies):
        yield "names a policy that does not exist: it is skipped, as in Tyk"
    if any(policy.organisation_id != draft.organisation_id for policy in known):
        yield "a policy of another organisation is applied: Tyk refuses such a key, here it works"
    if len(known) > 1:
        yield "several policies: each is a counter of its own, and of two that grant one API the more generous counts"
    if draft.is_inactive and draft.policies:
        yield "is_inactive on a key with policies now blocks it (Tyk looks at the policies only)"
    if any(policy.is_inactive for policy in known) and not draft.is_inactive:
        yield "one of its policies is inactive: the key is blocked"
    if any(policy.limits.throttle_retry_limit > 0 for policy in known) or draft.limits.throttle_retry_limit > 0:
        yield "a throttled request costs one unit (Tyk: two)"


def of_organisation(draft: SessionDraft, document: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    if around.enforces_organisations is False and (
        draft.limits.has_quota or draft.limits.has_rate or draft.is_inactive
    ):
        yield "limits of the organisation are enforced from now on (tyk.conf has no enforce_org_quotas: true)"
    yield from _of_limits(draft.limits, document, around)
    yield from _of_thresholds(draft.limits, draft.trigger_limits, around.watches_organisations, around)
    if draft.limits.has_quota:
        yield "requests without a valid key no longer use up the organisation's quota"
    if draft.limits.has_rate and not around.answers_as_tyk:
        yield "the organisation's rate limit answers 429 (Tyk: 403)"
    if document.get("access_rights"):
        yield "access rights of an organisation have no effect here"


AUTHENTICATIONS: Mapping[str, str] = {
    "basic_auth_data": "a user name with a password",
    "jwt_data": "a JSON web token",
    "hmac_enabled": "an HMAC signature",
    "enable_http_signature_validation": "an HTTP signature",
    "certificate": "a client certificate",
    "mtls_static_certificate_bindings": "a client certificate",
    "oauth_client_id": "OAuth",
}


def _of_ways_in(extra: Mapping[str, Any]) -> Iterator[str]:
    for name, what in AUTHENTICATIONS.items():
        value = extra.get(name)
        if any(value.values()) if isinstance(value, dict) else value:
            yield f"{what} is not asked for here ({name}): the key itself opens the API"
    if positive(extra.get("session_lifetime")) or extra.get("post_expiry_action"):
        yield "expired keys are kept until somebody deletes them (Tyk's storage forgets them)"
    if inner(extra, "smoothing").get("enabled"):
        yield "rate limits are not smoothed here"


# --- limits, thresholds, rights ---------------------------------------------------------------------------------------


def _of_limits(limits: Limits, document: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    maximum = document.get("quota_max")
    if isinstance(maximum, int | float) and not isinstance(maximum, bool) and maximum <= 0 and maximum != -1:
        yield "quota_max of 0 or less becomes -1, unlimited (as Tyk takes it)"
    if not around.answers_as_tyk and limits.has_quota:
        yield "a used up quota answers 429 with Retry-After (Tyk: 403); GATEWAY_RESPONSES=tyk answers as Tyk"
    if limits.has_quota and limits.quota_renewal_rate <= 0 and (around.watches_keys or around.watches_organisations):
        yield "a quota that never renews is monitored (Tyk never does)"


def _of_thresholds(limits: Limits, own: Sequence[float], watches: bool, around: Surroundings) -> Iterator[str]:
    top = around.global_trigger_limit
    if not watches:
        return
    yield from (
        f"trigger limit {threshold_label(each)} above the global {threshold_label(top)} now fires"
        for each in own
        if 0 < top < each
    )
    if own or (top and limits.has_quota):
        yield "a threshold fires once per period (Tyk: with every request above it, held back by event_timeout)"


def _of_rights(rights: Sequence[RightDraft], document: Mapping[str, Any], around: Surroundings) -> Iterator[str]:
    documents = inner(document, "access_rights")
    for right in rights:
        extra = right.extra
        if extra.get("allowed_urls"):
            yield "allowed_urls are not enforced here: the key reaches every path of the API"
        if extra.get("endpoints"):
            yield "rate limits of single endpoints are not known here"
        versions = extra.get("versions")
        if isinstance(versions, list) and any(version != "Default" for version in versions):
            yield "versions in access rights are not told apart here"
        if extra.get("restricted_types") or extra.get("allowed_types") or extra.get("field_access_rights"):
            yield "GraphQL types and fields are not restricted here"
        if right.limits is not None:
            yield from _of_limits(right.limits, inner(inner(documents, right.api_id), "limit"), around)


# --- custom rate limit keys -------------------------------------------------------------------------------------------


def _of_pattern(merged: Mapping[str, Any], own: Mapping[str, Any], *, is_policy: bool = False) -> Iterator[str]:
    """Of a pattern that can be read; one that cannot was refused with its row."""
    text = merged.get(patterns.FIELD)
    if not isinstance(text, str) or not (pattern := patterns.parse(text)):
        return
    yield "custom rate limit keys count inside their organisation, can be reset and read back (Tyk: none of these)"
    if is_policy or not pattern.names:
        return
    values = {name: merged.get(name) for name in pattern.names}
    if pattern.subject(merged) is None and ("|" in text or _literals(text)):
        yield "every field of rate_limit_pattern is empty: the key counts for itself (Tyk: such keys share a counter)"
    if any(isinstance(value, bool) for value in values.values()):
        yield "a field of rate_limit_pattern is true or false: it counts as that word (Tyk: as nothing)"
    if any(sign in patterns.value_text(value) for value in values.values() for sign in "|\\"):
        yield "a field of rate_limit_pattern holds | or \\: it is told apart from the separator (Tyk: it collides)"


def _literals(text: str) -> str:
    return patterns.REFERENCE.sub("", text)


def terms_of(policy: PolicyDraft) -> PolicyTerms:
    return PolicyTerms(
        policy.id, policy.limits, {right.api_id: right.limits for right in policy.rights}, meta_data=policy.meta_data
    )


def inner(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object in a member; an empty one if there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
