"""From a path and headers to a verdict: the one flow that all faces share.

Route and grant come from this process's memory. A pass is checked against the newest configuration inside the counter
function; what is turned away without it (unknown path, no key, unknown key) is so only after the store has said that
the routes are current (rule 1.5). Warm: one store call, no SQL.

The flow yields what it needs; `judge` and `judge_async` only fetch, so the order of things is written once.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

from django.conf import settings
from django.db import Error as DatabaseFailure

from sessions_app import routes, strangers, tokens
from sessions_app.edge import credentials, metrics, relaying
from sessions_app.edge.loading import AsyncLoader, Loader, Request, RouteChanged
from sessions_app.edge.threads import in_thread
from sessions_app.engine import check, counters
from sessions_app.engine.types import Decision, LimitName, Outcome, Refusal, StoreUnavailable
from sessions_app.engine.wire import Call
from sessions_app.routes import Route, RouteTable
from sessions_app.store import async_store, sync_store

Result = TypeVar("Result")

# A configuration that changes between every two steps is no configuration; nobody gets here twice in practice.
ROUNDS = 5
LOG_WINDOW_SECONDS = 60
BLIND_REFRESH_SECONDS = 1.0

log = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """What becomes of a request. `route` is None where no API listens. A pass may be an uncounted one (rule 9.1)."""

    passes: bool
    decision: Decision
    route: Route | None


# --- what faces call --------------------------------------------------------------------------------------------------


def judge(request: Request) -> Verdict:
    """Judges and counts one request; blocks. Held while its key throttles (rule 4.3)."""
    flow = _judge(request)
    try:
        need = next(flow)
        while True:
            try:
                answer = _fetch(need)
            except _EXPECTED as error:
                need = flow.throw(error)
            else:
                need = flow.send(answer)
    except StopIteration as done:
        return cast(Verdict, done.value)


async def judge_async(request: Request) -> Verdict:
    """As judge, without blocking the event loop."""
    flow = _judge(request)
    try:
        need = next(flow)
        while True:
            try:
                answer = await _fetch_async(need)
            except _EXPECTED as error:
                need = flow.throw(error)
            else:
                need = flow.send(answer)
    except StopIteration as done:
        return cast(Verdict, done.value)


# --- the flow ---------------------------------------------------------------------------------------------------------


class _Refresh:
    """The newest routes from the database."""


@dataclass(frozen=True, slots=True)
class _Wait:
    seconds: float


Need = Loader | Call | _Refresh | _Wait
Flow = Generator[Need, Any, Result]

_REFRESH = _Refresh()
_GATEWAY_VERSION = counters.read_gateway()
_EXPECTED = (StoreUnavailable, RouteChanged, DatabaseFailure)
_REFUSED = {
    refusal: Decision(Outcome.REFUSED, refusal=refusal)
    for refusal in (
        Refusal.UNKNOWN_API,
        Refusal.MISSING_KEY,
        Refusal.UNKNOWN_KEY,
        Refusal.TOO_MANY_UNKNOWN_KEYS,
    )
}
_UNKNOWABLE = Decision(Outcome.UNAVAILABLE)


def _judge(request: Request) -> Flow[Verdict]:
    route = None
    try:
        for _ in range(ROUNDS):
            table = routes.current()
            route = request.route_in(table)
            token = credentials.token_in(request.headers, route.auth_header_name) if route else None
            try:
                if route is None or token is None:
                    decision = _REFUSED[Refusal.UNKNOWN_API if route is None else Refusal.MISSING_KEY]
                else:
                    decision = yield from _identified(Loader(request, table, route, token))
            except RouteChanged:
                continue
            if decision.grant is not None or (yield from _still_leads_to(request, table, route)):
                return _verdict(decision, route)
    except DatabaseFailure as error:
        # Who the caller is cannot be told: not even an API that fails open lets strangers in.
        _warn("requests are turned away, the database does not answer: %s", error)
    return _verdict(_UNKNOWABLE, route)


def _identified(loader: Loader) -> Flow[Decision]:
    """The decision of a known key. A flood of unknown ones ends here, before the database (rule 1.6)."""
    if not loader.is_new or not tokens.may_exist(loader.token):
        return (yield from _checked(loader))
    if (yield from _is_stranger(tokens.digest(loader.token), loader.route.api_id)):
        return _REFUSED[Refusal.UNKNOWN_KEY]
    address = loader.request.address
    if strangers.is_braked(address):
        return _REFUSED[Refusal.TOO_MANY_UNKNOWN_KEYS]
    decision = yield from _checked(loader)
    if decision.refusal is Refusal.UNKNOWN_KEY:
        strangers.count(address)
    return decision


def _is_stranger(digest: str, api_id: str) -> Flow[bool]:
    """Whether the database did not know this digest, and nothing was issued in its shard since."""
    at = strangers.remembered(digest, api_id)
    if at is None:
        return False
    shard = strangers.shard_of(digest)
    try:
        number = counters.parse_version((yield counters.read_credentials(shard)))
        if number is None:
            yield counters.publish_credentials(shard, at)
    except StoreUnavailable:
        return False
    return number is not None and number <= at


def _checked(loader: Loader) -> Flow[Decision]:
    """The engine's decision; while only the key's rate denies, the request is held and tried again (rule 4.3)."""
    decision: Decision = yield loader
    throttle = decision.grant.throttle if decision.grant else None
    if throttle is None:
        return decision
    tries_left, hold_left = throttle.retry_limit, float(settings.GATEWAY_MAX_HOLD_SECONDS)
    while decision.violated == (LimitName.KEY_RATE,) and tries_left > 0 and hold_left > 0:
        seconds = min(throttle.interval_ms / 1000, hold_left)
        tries_left, hold_left = tries_left - 1, hold_left - seconds
        yield _Wait(seconds)
        decision = yield loader
    return decision


def _still_leads_to(request: Request, table: RouteTable, route: Route | None) -> Flow[bool]:
    """Whether the newest configuration leads the request to this route, too. `table` is where the route was found."""
    store_answers = True
    try:
        number = counters.parse_version((yield _GATEWAY_VERSION))
    except StoreUnavailable:
        store_answers, number = False, None
    if number is not None and number <= table.version:
        return True
    if not store_answers and _looked_lately(table):
        return True
    newest: RouteTable = yield _REFRESH
    if store_answers and number is None:
        with contextlib.suppress(StoreUnavailable):
            yield counters.publish_gateway(newest.version)[0]
    return request.route_in(newest) == route


_look_again_at = 0.0


def _looked_lately(table: RouteTable) -> bool:
    """While the store cannot say whether routes are new, the database is asked, but not with every stray request."""
    global _look_again_at
    now = time.monotonic()
    if table.version >= 0 and now < _look_again_at:
        return True
    _look_again_at = now + BLIND_REFRESH_SECONDS
    return False


def _verdict(decision: Decision, route: Route | None) -> Verdict:
    outcome, grant = decision.outcome, decision.grant
    metrics.DECISIONS[outcome].inc()
    passes = outcome is Outcome.PASSED
    if grant is not None:
        if decision.crossed:
            relaying.poke(grant.bucket)
        if outcome is Outcome.UNAVAILABLE:
            passes = grant.fail_open
            _warn(
                "the counter store does not answer: requests pass uncounted, or not at all where the API fails closed"
            )
            if passes:
                metrics.UNCOUNTED.inc()
    return Verdict(passes, decision, route)


_warn_again_at: dict[str, float] = {}


def _warn(message: str, *args: object) -> None:
    """Once per window (rule 9.1): a failure must not become a flood of lines."""
    now = time.monotonic()
    if now >= _warn_again_at.get(message, 0.0):
        _warn_again_at[message] = now + LOG_WINDOW_SECONDS
        log.warning(message, *args)


# --- drivers: fetch what the flow needs, nothing else -----------------------------------------------------------------


def _fetch(need: Need) -> Any:
    match need:
        case Loader():
            return check.check(sync_store(), need)
        case Call():
            return sync_store().call(need)
        case _Refresh():
            return routes.refresh()
        case _Wait():
            return time.sleep(need.seconds)


async def _fetch_async(need: Need) -> Any:
    match need:
        case Loader():
            return await check.check_async(async_store(), AsyncLoader(need))
        case Call():
            return await async_store().call(need)
        case _Refresh():
            return await in_thread(routes.refresh)
        case _Wait():
            return await asyncio.sleep(need.seconds)
