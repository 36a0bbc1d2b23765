"""The data plane: requests to APIs are judged and passed on to their upstream, without entering Django's request cycle.

APIs without an upstream are judged here just the same, and then served by Django (see middleware.py).
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from django.conf import settings

from sessions_app.edge import callers, credentials, forwarding, metrics, paths
from sessions_app.edge.answers import Answer, Receive, Scope, Send, send_answer
from sessions_app.edge.judging import Verdict, judge_async
from sessions_app.edge.loading import Request
from sessions_app.edge.proxy import Passage, Proxy, UpstreamError
from sessions_app.edge.rendering import limit_headers, problem, rejection
from sessions_app.edge.usage import is_rate_limits_path, rate_limits
from sessions_app.routes import Route

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Judge = Callable[[Request], Awaitable[Verdict]]

# Where Django's middleware finds the verdict that was given here: nothing is judged twice.
VERDICT = "tollgate.verdict"


class DataPlane:
    """`views` serves what has no upstream."""

    def __init__(self, views: Application, proxy: Proxy, judge: Judge = judge_async) -> None:
        self._views, self._proxy, self._judge = views, proxy, judge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope, headers = callers.from_caller(scope), dict(scope["headers"])
        if scope["method"] == "CONNECT" or forwarding.wants_websocket(headers):
            await send_answer(send, not_supported(), scope["method"])
            return
        if not scope.get("raw_path"):
            scope["raw_path"] = quote(scope["path"]).encode()
        client = scope.get("client") or ("",)
        request = Request(paths.plain(scope["path"]), headers, scope["raw_path"].decode("latin-1"), client[0])
        if (
            is_rate_limits_path(request.path)
            and scope["method"] in ("GET", "HEAD")
            and (answer := await rate_limits(request))
        ):
            await send_answer(send, answer, scope["method"])
            return
        verdict = await self._judge(request)
        route = verdict.route
        if not verdict.passes or route is None:
            name = route.auth_header_name if route else ""
            await send_answer(send, rejection(verdict.decision, settings.GATEWAY_RESPONSES, name), scope["method"])
        elif route.target_url:
            await self._pass_on(
                scope,
                receive,
                send,
                Passage(scope, route, headers, _key_headers(headers, route), limit_headers(verdict.decision.states)),
            )
        else:
            await self._views({**scope, VERDICT: verdict}, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, passage: Passage) -> None:
        try:
            await self._proxy.forward(passage, receive, send)
        except UpstreamError as error:
            metrics.UPSTREAM_FAILURES.labels(error.code).inc()
            answer = problem(error.status, error.code, error.detail, settings.GATEWAY_RESPONSES, passage.ours)
            await send_answer(send, answer, scope["method"])


def _key_headers(headers: Mapping[bytes, bytes], route: Route) -> frozenset[bytes]:
    return credentials.carriers(headers, route.auth_header_name)


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI, for websocket scopes: the same answer where the server can give one, else its own refusal."""
    await receive()
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    answer = not_supported()
    await send({"type": "websocket.http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "websocket.http.response.body", "body": answer.body})


def not_supported() -> Answer:
    """A protocol that no API is offered over (RFC 9110 section 15.6.2)."""
    return problem(
        501,
        "not_supported",
        "WebSockets and tunnels are not supported here. Use plain HTTP requests.",
        settings.GATEWAY_RESPONSES,
    )
