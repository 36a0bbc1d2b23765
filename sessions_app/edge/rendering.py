"""What a decision looks like to the caller: status, headers, body, in the standard's words or Tyk's (section 8)."""

import json
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus

from sessions_app.edge.answers import Answer, Header, answer_of
from sessions_app.edge.wording import explain_denial, explain_refusal
from sessions_app.engine.types import Decision, LimitName, LimitState, Outcome, Refusal

Dialect = str  # GATEWAY_RESPONSES: "standard" or "tyk"

QUOTA_EXCEEDED_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"
QUOTA_EXCEEDED_TITLE = "Request cannot be satisfied as assigned quota has been exceeded"
UNAVAILABLE_RETRY_SECONDS = 5
GREATEST_INTEGER = 999_999_999_999_999  # of a structured field (RFC 9651 section 3.3.1)

STATUSES = {
    Refusal.MISSING_KEY: 401,
    Refusal.UNKNOWN_KEY: 401,
    Refusal.EXPIRED_KEY: 401,
    Refusal.INACTIVE_KEY: 403,
    Refusal.INACTIVE_ORGANISATION: 403,
    Refusal.API_FORBIDDEN: 403,
    Refusal.UNKNOWN_API: 404,
    Refusal.TOO_MANY_UNKNOWN_KEYS: 429,
}
CODES = {
    LimitName.KEY_QUOTA: "quota_exceeded",
    LimitName.ORG_QUOTA: "quota_exceeded",
    LimitName.KEY_RATE: "rate_limited",
    LimitName.ORG_RATE: "rate_limited",
}
_DISALLOWED = (403, "Access to this API has been disallowed")
TYK_ERRORS: dict[Refusal | LimitName, tuple[int, str]] = {
    Refusal.MISSING_KEY: (401, "Authorization field missing"),
    Refusal.UNKNOWN_KEY: _DISALLOWED,
    Refusal.EXPIRED_KEY: (401, "Key has expired, please renew"),
    Refusal.INACTIVE_KEY: (403, "Key is inactive, please renew"),
    Refusal.INACTIVE_ORGANISATION: (
        403,
        "this organisation access has been disabled, please contact your API administrator",
    ),
    Refusal.API_FORBIDDEN: _DISALLOWED,
    Refusal.UNKNOWN_API: (404, "Not Found"),
    Refusal.TOO_MANY_UNKNOWN_KEYS: (429, "Rate Limit Exceeded"),
    LimitName.KEY_QUOTA: (403, "Quota exceeded"),
    LimitName.KEY_RATE: (429, "Rate Limit Exceeded"),
    LimitName.ORG_QUOTA: (403, "This organisation quota has been exceeded, please contact your API administrator"),
    LimitName.ORG_RATE: (403, "This organisation rate limit has been exceeded, please contact your API administrator"),
}

# What an upstream says of limits of its own would contradict ours: it is replaced (rule 8.1).
LIMIT_HEADERS = frozenset(
    (
        b"ratelimit",
        b"ratelimit-policy",
        b"ratelimit-limit",
        b"ratelimit-remaining",
        b"ratelimit-reset",
        b"x-ratelimit-limit",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
    )
)


def limit_headers(states: Sequence[LimitState]) -> list[Header]:
    """`RateLimit-Policy`, `RateLimit` and, for a key quota, `X-RateLimit-*` (rule 8.1). Keys come first."""
    if not states:
        return []
    policies, remainders, headers = [], [], []
    for state in reversed(states):
        policies.append(_item(state.name, "q", state.max, "w", state.window_seconds))
        remainders.append(_item(state.name, "r", state.remaining, "t", state.reset_seconds))
        if state.name is LimitName.KEY_QUOTA:
            headers += _key_quota_headers(state)
    headers.append((b"ratelimit-policy", ", ".join(policies).encode()))
    headers.append((b"ratelimit", ", ".join(remainders).encode()))
    return headers


def _item(name: LimitName, units_name: str, units: int, seconds_name: str, seconds: int | None) -> str:
    known = f'"{name}";{units_name}={min(units, GREATEST_INTEGER)}'
    return known if seconds is None else f"{known};{seconds_name}={seconds}"


def _key_quota_headers(state: LimitState) -> list[Header]:
    headers = [(b"x-ratelimit-limit", b"%d" % state.max), (b"x-ratelimit-remaining", b"%d" % state.remaining)]
    if state.resets_at is not None:
        headers.append((b"x-ratelimit-reset", b"%d" % state.resets_at))
    return headers


def rejection(decision: Decision, dialect: Dialect, auth_header_name: str = "") -> Answer:
    """The answer to a request that does not pass: denied, refused, or not to be judged (then the API fails closed)."""
    match decision.outcome:
        case Outcome.DENIED:
            return _denial(decision, dialect)
        case Outcome.REFUSED if decision.refusal is not None:
            return _refusal(decision.refusal, dialect, auth_header_name)
        case Outcome.UNAVAILABLE:
            return unavailable(dialect)
    raise ValueError(f"{decision.outcome} is no rejection")


def _denial(decision: Decision, dialect: Dialect) -> Answer:
    headers = limit_headers(decision.states)
    if decision.retry_after_seconds is not None:
        headers.append((b"retry-after", b"%d" % max(1, decision.retry_after_seconds)))
    first = decision.violated[0]
    if dialect == "tyk":
        return _tyk(*TYK_ERRORS[first], headers)
    members = {
        "type": QUOTA_EXCEEDED_TYPE,
        "title": QUOTA_EXCEEDED_TITLE,
        "status": 429,
        "detail": explain_denial(decision),
        "code": CODES[first],
        "violated-policies": list(decision.violated),
    }
    return answer_of(429, b"application/problem+json", json.dumps(members).encode(), headers)


@lru_cache(maxsize=1000)
def _refusal(refusal: Refusal, dialect: Dialect, auth_header_name: str) -> Answer:
    status, text = STATUSES[refusal], explain_refusal(refusal, auth_header_name)
    if dialect == "tyk":
        status, text = TYK_ERRORS[refusal]
    return problem(status, refusal, text, dialect, _headers_of(refusal, status))


def _headers_of(refusal: Refusal, status: int) -> tuple[Header, ...]:
    """RFC 6750 section 3: without a key the bare challenge, with one what is wrong with it."""
    if refusal is Refusal.TOO_MANY_UNKNOWN_KEYS:
        return ((b"retry-after", b"1"),)
    if status != 401:
        return ()
    error = b"" if refusal is Refusal.MISSING_KEY else b', error="invalid_token"'
    return ((b"www-authenticate", b'Bearer realm="api"' + error),)


@lru_cache(maxsize=8)
def unavailable(dialect: Dialect) -> Answer:
    """The counter store does not answer and the API fails closed (rules 8.3, 9.1)."""
    detail = f"The gateway cannot check limits at the moment. Try again in {UNAVAILABLE_RETRY_SECONDS} seconds."
    return problem(503, "store_unavailable", detail, dialect, ((b"retry-after", b"%d" % UNAVAILABLE_RETRY_SECONDS),))


def problem(status: int, code: str, detail: str, dialect: Dialect, headers: Sequence[Header] = ()) -> Answer:
    """An RFC 9457 problem of no special type, or Tyk's error body with the same status."""
    if dialect == "tyk":
        return _tyk(status, detail, headers)
    members = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return answer_of(status, b"application/problem+json", json.dumps(members).encode(), headers)


def _tyk(status: int, error: str, headers: Sequence[Header]) -> Answer:
    return answer_of(status, b"application/json", json.dumps({"error": error}, indent=4).encode(), headers)
