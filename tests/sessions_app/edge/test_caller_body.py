"""The body of a request as it is passed on, and the news that its caller went away."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sessions_app.edge.proxy import CallerBody, CallerGone

GONE = {"type": "http.disconnect"}


def piece(body: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def body_of(messages: Sequence[dict[str, Any]], expected: bool | None) -> CallerBody:
    left = list(messages)

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    return CallerBody(receive, expected)


async def read(body: CallerBody) -> list[bytes]:
    return [chunk async for chunk in body.chunks()] if await body.exists() else []


BODIES = {
    "announced": ([piece(b"a", True), piece(b"b")], True, [b"a", b"b"]),
    "announced, ending with an empty piece": ([piece(b"a", True), piece()], True, [b"a"]),
    "not announced, one piece": ([piece(b"a")], None, [b"a"]),
    "not announced, several": ([piece(b"", True), piece(b"b")], None, [b"b"]),
    "not announced, none": ([piece()], None, []),
    "none": ([], False, []),
}


@pytest.mark.parametrize(("messages", "expected", "chunks"), BODIES.values(), ids=BODIES)
def test_the_pieces_come_in_order(messages, expected, chunks):
    assert asyncio.run(read(body_of(messages, expected))) == chunks


@pytest.mark.parametrize("expected", [True, None])
def test_a_body_that_breaks_off_is_never_taken_for_complete(expected):
    with pytest.raises(CallerGone):
        asyncio.run(read(body_of([piece(b"a", True), GONE], expected)))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [([piece(b"a"), GONE], True), ([piece(), GONE], False), ([piece(), GONE], None), ([GONE], None)],
)
def test_after_the_body_only_leaving_is_news(messages, expected):
    async def leave() -> None:
        body = body_of(messages, expected)
        await read(body)
        await asyncio.wait_for(body.until_gone(), 1)

    asyncio.run(leave())


def test_watching_for_the_end_takes_nothing_of_the_body():
    async def watch() -> list[bytes]:
        body = body_of([piece(b"a", True), piece(b"b"), GONE], True)
        watching = asyncio.ensure_future(body.until_gone())
        await asyncio.sleep(0)
        chunks = await read(body)
        await watching
        return chunks

    assert asyncio.run(watch()) == [b"a", b"b"]
