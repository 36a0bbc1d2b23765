"""An answer of the gateway's own, the shape that both HTTP worlds (ASGI and Django) are given it in."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

Header = tuple[bytes, bytes]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case; `headers` are complete, `Content-Length` included."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""

    def with_status(self, status: int, *headers: Header) -> "Answer":
        return Answer(status, (*self.headers, *headers), self.body)


def answer_of(status: int, content_type: bytes, body: bytes, headers: Iterable[Header] = ()) -> Answer:
    """Nothing that the gateway says itself may be kept by a cache: the next request is judged anew."""
    fixed = ((b"content-type", content_type), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"))
    return Answer(status, (*fixed, *headers), body)


async def send_answer(send: Send, answer: Answer, method: str = "GET") -> None:
    """Sends the whole answer; to HEAD without its body (RFC 9110 section 9.3.2)."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
