"""One request through the gateway as a caller would send it, from within: judged, counted, and passed on to the
upstream. For the "try it" of an API's page.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from django.conf import settings

from sessions_app.edge import paths
from sessions_app.edge.answers import Header, Message, Receive, Scope, Send, answer_of, send_answer
from sessions_app.edge.data_plane import DataPlane
from sessions_app.edge.judging import Verdict, judge
from sessions_app.edge.loading import Request
from sessions_app.edge.proxy import Proxy
from sessions_app.edge.rendering import limit_headers

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
LONGEST_SECONDS = 10
MOST_SHOWN = 64 * 1024  # bytes of the answer's body
SERVED_HERE = b"The check passed. A Django view of this project serves this API; it is not called from here.\n"


@dataclass(frozen=True, slots=True)
class Trial:
    """What came back. `is_cut`: the body went on."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    is_cut: bool
    milliseconds: int


class NoAnswer(Exception):
    """The upstream did not finish its answer in time. The request was counted."""


def try_request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Trial:
    """Sends one request; blocks, at most LONGEST_SECONDS and what its key is throttled. `path` may have a query.

    Raises NoAnswer. Neither the key nor anything else of it is stored or logged.
    """
    scope = _scope(method, path, headers, body)
    began = time.monotonic()
    plain = paths.plain(scope["path"])
    verdict = judge(Request(plain, dict(scope["headers"]), scope["raw_path"].decode("latin-1")))
    try:
        taken = asyncio.run(asyncio.wait_for(_exchange(scope, body, verdict), LONGEST_SECONDS))
    except TimeoutError:
        raise NoAnswer(f"No answer within {LONGEST_SECONDS} seconds. The request was counted.") from None
    return taken.told(round(1000 * (time.monotonic() - began)))


@dataclass
class _Taken:
    """Collects an answer, as `send` of ASGI."""

    status: int = 0
    headers: list[Header] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message["headers"])
        elif len(self.body) <= MOST_SHOWN:
            self.body += message.get("body", b"")

    def told(self, milliseconds: int) -> Trial:
        headers = tuple((_text(name).title(), _text(value)) for name, value in self.headers)
        shown = bytes(self.body[:MOST_SHOWN]).decode("utf-8", "replace")
        return Trial(self.status, headers, shown, len(self.body) > MOST_SHOWN, milliseconds)


async def _exchange(scope: Scope, body: bytes, verdict: Verdict) -> _Taken:
    """In an event loop of its own, with connections of its own."""
    taken, proxy = _Taken(), Proxy(settings.GATEWAY_UPSTREAM_CONNECT_SECONDS, settings.GATEWAY_UPSTREAM_READ_SECONDS)

    async def given(request: Request) -> Verdict:
        return verdict

    async def views(scope: Scope, receive: Receive, send: Send) -> None:
        answer = answer_of(200, b"text/plain; charset=utf-8", SERVED_HERE, limit_headers(verdict.decision.states))
        await send_answer(send, answer, scope["method"])

    try:
        await DataPlane(views, proxy, given)(scope, _receiver(body), taken)
    finally:
        await proxy.close()
    return taken


def _receiver(body: bytes) -> Receive:
    """The body at once; then the caller stays on the line."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError  # nobody sets that event

    return receive


def _scope(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Scope:
    decoded, _, query = path.partition("?")
    named = {name.lower().encode("latin-1", "replace"): value.encode() for name, value in headers.items()}
    named |= {b"content-length": b"%d" % len(body)} if body else {}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": decoded,
        "raw_path": quote(decoded).encode(),
        "query_string": quote(query, safe="=&%+/?:@!$'()*,;~").encode(),
        "headers": list(({b"host": b"gateway", b"user-agent": b"Tollgate"} | named).items()),
        "client": ("", 0),
        "server": None,
    }


def _text(value: bytes) -> str:
    return value.decode("latin-1")
