"""The data plane: requests to APIs with an upstream are judged and passed on. Pure ASGI, Django's request cycle is not entered."""
import logging
from collections.abc import Awaitable, Callable

from django.conf import settings

from sessions_app.edge import credentials, forwarding, metrics, paths
from sessions_app.edge.answers import Receive, Scope, Send, send_answer
from sessions_app.edge.judging import judge_async, route_of
from sessions_app.edge.loading import Request
from sessions_app.edge.proxy import Passage, Proxy, UpstreamError
from sessions_app.edge.rendering import limit_headers, problem, rejection
from sessions_app.edge.usage import RATE_LIMITS_PATH, send_rate_limits
from sessions_app.routes import Route

Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)


class DataPlane:
    """`views` serves APIs that have no upstream; it does its own judging (middleware.py)."""

    def __init__(self, views: Application, proxy: Proxy) -> None:
        self._views, self._proxy = views, proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        raw_path = scope["raw_path"].decode("latin-1")
        request = Request(paths.plain(scope["path"]), headers, raw_path)
