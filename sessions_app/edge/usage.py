"""What callers may ask about their own limits, at no cost: `/me/usage`, and Tyk's `{listen_path}tyk/rate-limits/`.

Both read the database: what they show is compiled now. They run in a thread, with the blocking store client.
"""

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.conf import settings
from django.db import Error as DatabaseFailure

from policies_app.models import Api
from sessions_app import grants, keys, routes, strangers
from sessions_app.edge import callers, credentials
from sessions_app.edge.answers import Answer, Receive, Scope, Send, answer_of, send_answer
from sessions_app.edge.loading import Request
from sessions_app.edge.rendering import problem, rejection, unavailable
from sessions_app.edge.threads import in_thread
from sessions_app.engine import check
from sessions_app.engine.types import (
    Decision,
    Grant,
    Limit,
    LimitName,
    LimitState,
    Outcome,
    QuotaLimit,
    RateLimit,
    Refusal,
    StoreUnavailable,
)
from sessions_app.models import Key
from sessions_app.store import sync_store
from sessions_app.terms import Holder, read_holders
from sessions_app.usage import snapshots

RATE_LIMITS = "tyk/rate-limits"
SHOWN_ORDER = (LimitName.KEY_QUOTA, LimitName.KEY_RATE, LimitName.ORG_QUOTA, LimitName.ORG_RATE)
Look = tuple[Limit, LimitState]
Question = TypeVar("Question")
Result = TypeVar("Result")


# --- /me/usage --------------------------------------------------------------------------------------------------------


async def me(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: all limits of the caller's key, on every API that it may call."""
    await send_answer(send, await _me_answer(scope), scope["method"])


async def _me_answer(scope: Scope) -> Answer:
    if scope["path"].rstrip("/") != "/me/usage":
        return problem(404, "not_found", "Only /me/usage is here.", settings.GATEWAY_RESPONSES)
    if scope["method"] not in ("GET", "HEAD"):
        return problem(
            405, "method_not_allowed", "Ask with GET.", settings.GATEWAY_RESPONSES, ((b"allow", b"GET, HEAD"),)
        )
    token = credentials.token_in(dict(scope["headers"]))
    return await _answered(_limits_of, (token, callers.caller_of(scope))) if token else _refused(Refusal.MISSING_KEY)


def _limits_of(asked: tuple[str, str]) -> Answer:
    """Of (token, caller's address)."""
    token, address = asked
    key = _braked(address, lambda: _key_of(token))
    if isinstance(key, Refusal):
        return _refused(key)
    holder = read_holders([(key.organisation_id, key.pk)])[key.pk]
    looks = [
        grants.grant_of(holder, api)
        for api in Api.objects.filter(pk__in=holder.api_ids(), is_active=True).order_by("pk")
    ]
    bare = grants.grant_of(holder, Api(pk=""))  # of no API: says whether the key itself is in order
    if refusal := _refusal(bare, besides=Refusal.API_FORBIDDEN):
        return _refused(refusal)
    return answer_of(200, b"application/json", json.dumps({"limits": _limit_rows(holder, looks)}).encode())


def _key_of(token: str) -> Key | Refusal:
    key = keys.find_by_token(token)
    return Refusal.UNKNOWN_KEY if key is None or grants.is_gone(key) else key


def _limit_rows(holder: Holder, looks: list[Grant]) -> list[dict[str, Any]]:
    """One counter may be judged by the numbers of several policies (rule 5.5): each is a limit of the caller's."""
    states = check.peek(sync_store(), snapshots, looks) if looks else []
    found: dict[tuple[LimitName, str, int, int | None], dict[str, Any]] = {}
    for grant, seen in zip(looks, states, strict=True):
        for limit, state in _paired(grant, seen):
            name = (limit.name, limit.counter, state.max, state.window_seconds)
            found.setdefault(name, _row(state, _own_api(holder, grant.api_id, limit)))
    return sorted(found.values(), key=lambda row: (row["api"] or "", SHOWN_ORDER.index(row["name"])))


def _own_api(holder: Holder, api_id: str, limit: Limit) -> str | None:
    """The API, if the limit counts there only (rule 3.1)."""
    terms = grants.terms_on(holder, api_id)
    if terms is None or limit.name in (LimitName.ORG_QUOTA, LimitName.ORG_RATE):
        return None
    source = terms.quota if isinstance(limit, QuotaLimit) else terms.rate
    return api_id if source.scope.startswith("api:") else None


def _row(state: LimitState, api_id: str | None) -> dict[str, Any]:
    return {
        "name": state.name,
        "api": api_id,
        "max": state.max,
        "used": state.used,
        "remaining": state.remaining,
        "period_seconds": state.window_seconds,
        "renews_at": state.resets_at,
    }


# --- {listen_path}tyk/rate-limits/ ------------------------------------------------------------------------------------


def is_rate_limits_path(path: str) -> bool:
    return path.endswith((f"/{RATE_LIMITS}/", f"/{RATE_LIMITS}"))


async def rate_limits(request: Request) -> Answer | None:
    """In Tyk's shape. None if the path is one of the upstream's that only ends alike: then it is no question to us."""
    return await _answered(_rate_limits_of, request)


def _rate_limits_of(request: Request) -> Answer | None:
    route = request.route_in(routes.refresh())
    if route is None:
        return _refused(Refusal.UNKNOWN_API)
    if request.path[len(route.listen_path) :].rstrip("/") != RATE_LIMITS:
        return None
    token = credentials.token_in(request.headers, route.auth_header_name)
    grant = _grant_of(token, route.api_id, request.address)
    if isinstance(grant, Refusal):
        return _refused(grant, route.auth_header_name)
    states = check.peek(sync_store(), snapshots, [grant])[0]
    return answer_of(200, b"application/json", json.dumps(_tyk_limits(_paired(grant, states))).encode())


def _grant_of(token: str | None, api_id: str, address: str) -> Grant | Refusal:
    """The grant, compiled now, if it opens the API."""
    if not token:
        return Refusal.MISSING_KEY
    grant = _braked(address, lambda: grants.compile_grant(token, api_id))
    return grant if isinstance(grant, Refusal) else _refusal(grant) or grant


def _tyk_limits(looks: Iterable[Look]) -> dict[str, dict[str, float]]:
    """Unlimited is -1 of -1; no rate limit is 0 per 0."""
    quota: dict[str, float] = {"quota_max": -1, "quota_remaining": -1, "quota_renews": 0}
    rate: dict[str, float] = {"requests": 0, "per_unit": 0}
    for limit, state in looks:
        if state.name is LimitName.KEY_QUOTA:
            quota = {"quota_max": state.max, "quota_remaining": state.remaining, "quota_renews": state.resets_at or 0}
        elif isinstance(limit, RateLimit) and state.name is LimitName.KEY_RATE:
            seconds = limit.window_ms / 1000
            rate = {"requests": state.max, "per_unit": int(seconds) if seconds.is_integer() else seconds}
    return {"quota": quota, "rate_limit": rate}


# --- what both need ---------------------------------------------------------------------------------------------------


async def _answered(look: Callable[[Question], Result], question: Question) -> Result | Answer:
    """The look's answer, or 503 while the counters or the database cannot be read."""
    try:
        return await in_thread(look, question)
    except (StoreUnavailable, DatabaseFailure):
        return unavailable(settings.GATEWAY_RESPONSES)


def _braked(address: str, look: Callable[[], Result | Refusal]) -> Result | Refusal:
    """What the look at the database finds; who guesses keys is braked before it (rule 1.6)."""
    if strangers.is_braked(address):
        return Refusal.TOO_MANY_UNKNOWN_KEYS
    found = look()
    if found is Refusal.UNKNOWN_KEY:
        strangers.count(address)
    return found


def _refusal(grant: Grant, besides: Refusal | None = None) -> Refusal | None:
    """Why the grant opens nothing, in the order of rule 1.4."""
    if 0 < grant.expires_at_ms <= time.time_ns() // 1_000_000:
        return Refusal.EXPIRED_KEY
    return grant.refusal if grant.refusal is not besides else None


def _refused(refusal: Refusal, auth_header_name: str = "") -> Answer:
    return rejection(Decision(Outcome.REFUSED, refusal=refusal), settings.GATEWAY_RESPONSES, auth_header_name)


def _paired(grant: Grant, states: Iterable[LimitState]) -> list[Look]:
    by_name = {limit.name: limit for limit in grant.limits}
    return [(by_name[state.name], state) for state in states]
