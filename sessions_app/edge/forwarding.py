"""What of a request goes on to the upstream, and what of its answer comes back. Pure.

A gateway speaks for itself on each connection: headers about one connection end here (RFC 9110 section 7.6.1), and what
callers claim about how they were reached is replaced by what we know.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from yarl import URL

from sessions_app.edge import paths
from sessions_app.edge.answers import Header, Scope
from sessions_app.edge.rendering import LIMIT_HEADERS
from sessions_app.routes import Route

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Rebuilt, or meant for us: the client of our upstream sets Host itself, and 100-continue is between the caller and us.
NOT_FORWARDED = HOP_BY_HOP | {b"host", b"expect", b"forwarded", b"x-real-ip", b"via"}
FORWARDED_PREFIX = b"x-forwarded-"
VIA = b"tollgate"
DEFAULT_PORTS = {"http": "80", "https": "443"}


def upstream_url(route: Route, raw_path: bytes, query_string: bytes) -> URL:
    """Where the request goes: path and query byte by byte, only the listen path gives way to the target's."""
    origin, base = _target(route.target_url)
    path = raw_path.decode("latin-1")
    rest = (paths.rest_of(path, route.listen_path) or "") if route.strip_listen_path else path
    joined = base + rest.removeprefix("/") if base.endswith("/") else base + rest
    query = f"?{query_string.decode('latin-1')}" if query_string else ""
    return URL(f"{origin}{joined or '/'}{query}", encoded=True)


@lru_cache(maxsize=1000)
def _target(target_url: str) -> tuple[str, str]:
    url = URL(target_url)
    return str(url.origin()), url.raw_path


def upstream_headers(
    scope: Scope, headers: Mapping[bytes, bytes], key_headers: frozenset[bytes]
) -> list[tuple[str, str]]:
    """The caller's headers, without what is about the connection or carried the key; then ours."""
    dropped = NOT_FORWARDED | key_headers | named_in_connection(headers.get(b"connection", b""))
    if b"transfer-encoding" in headers:
        dropped |= {b"content-length"}
    kept = [
        (_text(name), _text(value))
        for name, value in scope["headers"]
        if name not in dropped and not name.startswith(FORWARDED_PREFIX)
    ]
    return kept + _about_the_caller(scope, headers)


def _about_the_caller(scope: Scope, headers: Mapping[bytes, bytes]) -> list[tuple[str, str]]:
    host = _text(headers.get(b"host", b""))
    _, colon, port = host.rpartition(":")
    known_port = port if colon and port.isdigit() else DEFAULT_PORTS.get(scope["scheme"], "")
    via = [headers[b"via"]] if b"via" in headers else []
    told = [
        ("X-Forwarded-For", scope["client"][0] if scope.get("client") else ""),
        ("X-Forwarded-Proto", scope["scheme"]),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Port", known_port),
        ("Via", _text(b", ".join([*via, scope["http_version"].encode() + b" " + VIA]))),
    ]
    return [(name, value) for name, value in told if value]


def caller_headers(status: int, upstream: Iterable[Header], ours: Iterable[Header]) -> list[Header]:
    """The upstream's headers without what is about its connection and its limits; then ours (rule 8.1)."""
    lowered = [(name.lower(), value) for name, value in upstream]
    dropped = (
        HOP_BY_HOP
        | LIMIT_HEADERS
        | named_in_connection(b",".join(value for name, value in lowered if name == b"connection"))
    )
    if status == 204:
        dropped |= {b"content-length"}  # RFC 9110 section 8.6
    return [*(header for header in lowered if header[0] not in dropped), *ours]


def named_in_connection(value: bytes) -> frozenset[bytes]:
    """Headers that the sender declares to end with this connection. What frames the message cannot be declared away."""
    if not value:
        return frozenset()
    return frozenset(name.strip().lower() for name in value.split(b",")) - {b"content-length", b"content-type", b"host"}


def has_body(scope: Scope, headers: Mapping[bytes, bytes]) -> bool | None:
    """Whether a body follows. None: HTTP/2 needs no header to announce one, only its first piece tells."""
    if b"transfer-encoding" in headers:
        return True
    if b"content-length" in headers:
        return headers[b"content-length"].strip() != b"0"
    return False if scope["http_version"].startswith("1") else None


def wants_websocket(headers: Mapping[bytes, bytes]) -> bool:
    return b"websocket" in headers.get(b"upgrade", b"").lower()


def _text(value: bytes) -> str:
    """As the HTTP client writes it back: UTF-8. Bytes that are none are taken for Latin-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
