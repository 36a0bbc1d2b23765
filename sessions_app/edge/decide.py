"""Decisions for other proxies: nginx, Caddy, Traefik and Envoy ask here whether a request may pass. Pure ASGI.

200 is the only answer that allows. The original request is named by headers, or by the path after the prefix. Who asks
must be trusted, because whoever names the request spends somebody's quota.
"""

import hmac
from collections.abc import Mapping

from django.conf import settings

from sessions_app.edge import callers, paths
from sessions_app.edge.answers import Answer, Receive, Scope, Send, send_answer
from sessions_app.edge.judging import judge_async
from sessions_app.edge.loading import Request
from sessions_app.edge.rendering import limit_headers, problem, rejection
from sessions_app.engine.types import Outcome

NGINX = "/decide/nginx"
ENVOY = "/decide/envoy/"
# Where each proxy puts the target of the request that it asks about.
TARGET_HEADERS = {"/decide/forward-auth": b"x-forwarded-uri", NGINX: b"x-original-uri"}
LIMIT_DENIES = 429
CONTENT_LENGTH_0 = (b"content-length", b"0")


async def decide(scope: Scope, receive: Receive, send: Send) -> None:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    path: str = scope["path"]
    is_denied = False
    if not _is_trusted(scope, headers):
        answer = _not_trusted()
    elif (target := _target(path, headers)) is None:
        answer = _no_target(path)
    else:
        verdict = await judge_async(Request(target, headers, address=callers.caller_behind_proxy(scope)))
        if verdict.passes:
            allowing = [CONTENT_LENGTH_0, *limit_headers(verdict.decision.states)]
            await send({"type": "http.response.start", "status": 200, "headers": allowing})
            await send({"type": "http.response.body"})
            return
        is_denied = verdict.decision.outcome is Outcome.DENIED
        answer = rejection(
            verdict.decision, settings.GATEWAY_RESPONSES, verdict.route.auth_header_name if verdict.route else ""
        )
    await send_answer(send, _for_nginx(answer, is_denied) if path == NGINX else answer, scope["method"])


def _target(path: str, headers: Mapping[bytes, bytes]) -> str | None:
    """The plain path that is asked about. Envoy puts it after the prefix."""
    if path.startswith(ENVOY):
        return paths.plain(path[len(ENVOY) - 1 :])
    value = headers.get(TARGET_HEADERS.get(path, b""), b"")
    return paths.plain_target(value.decode("utf-8", "replace")) if value.startswith(b"/") else None


def _for_nginx(answer: Answer, is_denied: bool) -> Answer:
    """`auth_request` knows 401 and 403 only; what it would have been stands in a header. A limit that denies is 429
    there in Tyk's dialect, too, which has 403 for it: else nginx could not tell it from a key that may not pass at all.
    """
    if answer.status == 401:
        return answer
    return answer.with_status(403, (b"x-quota-status", b"%d" % (LIMIT_DENIES if is_denied else answer.status)))


# --- who may ask ------------------------------------------------------------------------------------------------------


def _is_trusted(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    expected = settings.GATEWAY_DECIDE_TOKEN
    given = headers.get(b"x-decide-token", b"")
    if expected and given and hmac.compare_digest(given, expected.encode()):
        return True
    networks, client = tuple(settings.GATEWAY_DECIDE_NETS), scope.get("client")
    return client is not None and bool(networks) and callers.is_within(client[0], networks)


def _not_trusted() -> Answer:
    ways = "Send X-Decide-Token, or ask from an allowed network (GATEWAY_DECIDE_NETS)."
    detail = f"Only the gateway's own proxies may ask for decisions. {ways}"
    return problem(403, "decide_forbidden", detail, settings.GATEWAY_RESPONSES)


def _no_target(path: str) -> Answer:
    name = TARGET_HEADERS.get(path)
    if name is None:
        known = ", ".join([*TARGET_HEADERS, f"{ENVOY}<path>"])
        return problem(404, "not_found", f"Decisions are made at {known}.", settings.GATEWAY_RESPONSES)
    header = name.decode().title()
    detail = f"{header} must hold the path of the request to decide on, such as /orders/7?x=1."
    return problem(400, "missing_target", detail, settings.GATEWAY_RESPONSES)
