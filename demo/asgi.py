"""The demo's own server, pure ASGI and without the database: an upstream that echoes, and an inbox for what is sent.

It serves this machine only: another client, or a host name that is not ours, is refused.
"""

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.template.loader import render_to_string

from demo import inbox

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

UPSTREAM = "/demo/upstream"
INBOX = "/demo/inbox"
MAX_BODY_BYTES = 2**20
JSON_TYPE = "application/json"
HTML_TYPE = "text/html; charset=utf-8"
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    path = scope["path"]
    if not _is_from_here(scope):
        await _answer(send, 403, JSON_TYPE, '{"detail": "The demo answers on this machine only."}')
    elif path == UPSTREAM or path.startswith(f"{UPSTREAM}/"):
        await _echo(scope, receive, send)
    elif path == INBOX or path.startswith(f"{INBOX}/"):
        await _inbox(scope, receive, send)
    else:
        await _answer(send, 404, JSON_TYPE, '{"detail": "The demo has /demo/upstream/ and /demo/inbox/."}')


def _is_from_here(scope: Scope) -> bool:
    """A loopback client that asks for one of our host names. The names keep other sites' pages out (DNS rebinding)."""
    client = scope.get("client")
    address = ipaddress.ip_address(client[0]) if client else None
    mapped = getattr(address, "ipv4_mapped", None)
    if address is None or not (mapped or address).is_loopback:
        return False
    host, _ = split_domain_port(dict(_headers(scope)).get("host", ""))
    return validate_host(host, settings.ALLOWED_HOSTS)


# --- upstream ---------------------------------------------------------------------------------------------------------


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """What the API behind the gateway was asked."""
    document = {
        "method": scope["method"],
        "path": scope["path"].removeprefix(UPSTREAM) or "/",
        "query": scope["query_string"].decode("latin-1"),
        "headers": dict(_headers(scope)),
        "body": (await _body(receive)).decode(errors="replace"),
    }
    await _answer(send, 200, JSON_TYPE, json.dumps(document, indent=2) + "\n", scope["method"])


# --- inbox ------------------------------------------------------------------------------------------------------------


async def _inbox(scope: Scope, receive: Receive, send: Send) -> None:
    method, path = scope["method"], scope["path"]
    if method not in ("GET", "HEAD"):
        body = await _body(receive)
        await asyncio.to_thread(inbox.keep_webhook, method, path, _headers(scope), body)
        await _answer(send, 204, "", "")
        return
    status, content, policy = await asyncio.to_thread(_inbox_page, path, scope["query_string"].decode("latin-1"))
    headers = [("content-security-policy", policy), ("cache-control", "no-store"), ("referrer-policy", "same-origin")]
    await _answer(send, status, HTML_TYPE, content, method, headers)


def _inbox_page(path: str, query: str) -> tuple[int, str, str]:
    """(status, HTML, content security policy) of the page, of what is new since a cursor, or of one e-mail's HTML."""
    if path.startswith(f"{INBOX}/mail/"):
        mail = inbox.find_mail(path.removeprefix(f"{INBOX}/mail/"))
        return (200, mail.html, MAIL_POLICY) if mail else (404, render_to_string("404.html"), PAGE_POLICY)
    if path == f"{INBOX}/new":
        return _news(query)
    if path not in (INBOX, f"{INBOX}/"):
        return 404, render_to_string("404.html"), PAGE_POLICY
    cursor = inbox.newest()
    context = {"messages": inbox.messages(0, cursor), "cursor": str(cursor), "port": str(settings.GATEWAY_PORT)}
    return 200, render_to_string("demo/inbox.html", context), PAGE_POLICY


def _news(query: str) -> tuple[int, str, str]:
    after = query.removeprefix("after=")
    if not after.isdecimal() or len(after) > 20:
        return 400, render_to_string("400.html"), PAGE_POLICY
    cursor = inbox.newest()
    if cursor <= int(after):
        return 204, "", PAGE_POLICY
    context = {"messages": inbox.messages(int(after), cursor), "cursor": str(cursor)}
    return 200, render_to_string("demo/news.html", context), PAGE_POLICY


# --- HTTP -------------------------------------------------------------------------------------------------------------


def _headers(scope: Scope) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]


async def _body(receive: Receive) -> bytes:
    """The request's body, cut off after `MAX_BODY_BYTES`; the rest is read and dropped."""
    body = b""
    while True:
        message = await receive()
        if len(body) < MAX_BODY_BYTES:
            body = (body + message.get("body", b""))[:MAX_BODY_BYTES]
        if message["type"] != "http.request" or not message.get("more_body"):
            return body


async def _answer(send: Send, status: int, kind: str, text: str, method: str = "GET", headers: Headers = ()) -> None:
    body = text.encode()
    described = [] if status == 204 else [("content-type", kind), ("content-length", str(len(body)))]
    every = [*described, ("x-content-type-options", "nosniff"), *headers]
    encoded = [(name.encode(), value.encode()) for name, value in every]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" or status == 204 else body})
