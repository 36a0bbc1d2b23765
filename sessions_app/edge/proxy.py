"""The streaming reverse proxy: one pool of upstream connections per process, both bodies passed on as they come."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from sessions_app.edge import forwarding, metrics
from sessions_app.edge.answers import Header, Message, Receive, Scope, Send
from sessions_app.edge.bodiless import tolerant_connector
from sessions_app.routes import Route

LONGEST_HEADER_LINE = 65_536
# The caller's own headers go on, not what an HTTP client would add.
NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

log = logging.getLogger(__name__)


class UpstreamError(Exception):
    """The upstream gave no answer that can be passed on. Nothing was sent to the caller yet."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class CallerGone(Exception):
    """The caller closed the connection in the middle of its request body."""


class CallerBody:
    """The request's body as a stream, and afterwards the news that the caller went away: both come out of `receive`."""

    def __init__(self, receive: Receive, expected: bool | None) -> None:
        self._receive = receive
        self._expected = expected
        self._first: Message | None = None
        self._ended = asyncio.Event()
        self._gone = False
        if expected is False:
            self._ended.set()

    async def exists(self) -> bool:
        """Whether there is a body. Where no header tells (`expected` None), its first piece does."""
        if self._expected is None:
            self._first = await self._next()
            self._expected = bool(self._first.get("body") or self._first.get("more_body"))
            if not self._expected:
                self._ended.set()
        return self._expected

    async def chunks(self) -> AsyncIterator[bytes]:
        message = self._first or await self._next()
        while not self._gone:
            if chunk := message.get("body"):
                yield chunk
            if not message.get("more_body", False):
                self._ended.set()
                return
            message = await self._next()
        raise CallerGone

    async def until_gone(self) -> None:
        """Returns when the caller has gone. Reads nothing of the body: that is the upstream's to pace."""
        await self._ended.wait()
        while not self._gone:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            self._ended.set()
        return message


@dataclass(frozen=True, slots=True)
class Passage:
    """A request that was let through. `key_headers` carried the key; `ours` is what the gateway adds to the answer."""

    scope: Scope
    route: Route
    headers: Mapping[bytes, bytes]
    key_headers: frozenset[bytes]
    ours: Sequence[Header]


class Proxy:
    """Belongs to one event loop; `close` it when that ends. `read_seconds` may pass between two pieces of an answer."""

    def __init__(self, connect_seconds: float, read_seconds: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds, sock_read=read_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def forward(self, passage: Passage, receive: Receive, send: Send) -> None:
        """Passes the request on and the answer back. A caller who leaves ends the upstream call.

        Raises UpstreamError as long as nothing was answered.
        """
        body = CallerBody(receive, forwarding.has_body(passage.scope, passage.headers))
        exchange = asyncio.ensure_future(self._exchange(passage, body, send))
        gone = asyncio.ensure_future(body.until_gone())
        try:
            await asyncio.wait((exchange, gone), return_when=asyncio.FIRST_COMPLETED)
            if not gone.done():
                exchange.result()
        finally:
            gone.cancel()
            exchange.cancel()
            await asyncio.gather(exchange, gone, return_exceptions=True)

    async def _exchange(self, passage: Passage, body: CallerBody, send: Send) -> None:
        try:
            response = await self._called(passage, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _upstream_error(error) from error
        async with response:
            headers = forwarding.caller_headers(response.status, response.raw_headers, passage.ours)
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            try:
                await _pass_back(response.content, send)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                # The status is out. A body left unfinished makes the server break the connection: the caller notices.
                metrics.UPSTREAM_FAILURES.labels("broken_answer").inc()
                log.warning(
                    "the upstream of API %s broke off its answer: %s",
                    passage.route.api_id,
                    error or type(error).__name__,
                )

    async def _called(self, passage: Passage, body: CallerBody) -> aiohttp.ClientResponse:
        scope = passage.scope
        return await self._open_session().request(
            scope["method"],
            forwarding.upstream_url(passage.route, scope["raw_path"], scope["query_string"]),
            headers=forwarding.upstream_headers(scope, passage.headers, passage.key_headers),
            data=body.chunks() if await body.exists() else None,
            allow_redirects=False,
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=tolerant_connector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=NOT_ADDED,
                timeout=self._timeout,
                max_line_size=LONGEST_HEADER_LINE,
                max_field_size=LONGEST_HEADER_LINE,
            )
        return self._session


async def _pass_back(content: aiohttp.StreamReader, send: Send) -> None:
    """Piece by piece, as they come; `send` waits for a slow caller, and the upstream waits with it."""
    more = True
    while more:
        piece = await content.readany()
        more = not content.at_eof()
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def _upstream_error(error: Exception) -> UpstreamError:
    if isinstance(error, TimeoutError):
        return UpstreamError(
            504, "upstream_timeout", "The service behind this API did not answer in time. Try again later."
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamError(
            502, "upstream_unreachable", "The service behind this API cannot be reached at the moment. Try again later."
        )
    return UpstreamError(502, "upstream_failed", "The service behind this API gave no usable answer. Try again later.")
