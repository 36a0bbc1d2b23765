"""What of a request goes on to the upstream, and what of its answer comes back."""

import pytest

from sessions_app.edge import forwarding
from sessions_app.routes import Route

URLS = {
    "stripped": ("/a/", "http://up:81/base/", True, b"/a/x/y", b"z=1", "http://up:81/base/x/y?z=1"),
    "target without a slash": ("/a/", "http://up:81/base", True, b"/a/x", b"", "http://up:81/base/x"),
    "target without a path": ("/a/", "http://up:81", True, b"/a/x", b"", "http://up:81/x"),
    "not stripped": ("/a/", "http://up:81/base", False, b"/a/x", b"", "http://up:81/base/a/x"),
    "listen path itself": ("/a/", "http://up:81/base", True, b"/a/", b"", "http://up:81/base/"),
    "listen path without its slash": ("/a/", "http://up:81/base", True, b"/a", b"", "http://up:81/base"),
    "nothing left": ("/a/", "http://up:81", True, b"/a", b"", "http://up:81/"),
    "byte by byte": (
        "/a/",
        "http://up:81",
        True,
        b"/a/%7Eb%2Fc//d;e=1,f/%zz",
        b"x=%20&y=[1]&y=a+b&&?",
        "http://up:81/%7Eb%2Fc//d;e=1,f/%zz?x=%20&y=[1]&y=a+b&&?",
    ),
}


@pytest.mark.parametrize(("listen", "target", "strip", "raw", "query", "url"), URLS.values(), ids=URLS)
def test_path_and_query_reach_the_upstream_as_they_came(listen, target, strip, raw, query, url):
    route = Route("a", listen, target, strip, "", True)
    assert str(forwarding.upstream_url(route, raw, query)) == url


def upstream_headers(*headers: tuple[bytes, bytes], key_headers=frozenset(), **scope):
    full = {"scheme": "http", "http_version": "1.1", "client": ("10.0.0.9", 4711), **scope, "headers": headers}
    return forwarding.upstream_headers(full, dict(headers), key_headers)


def test_headers_about_the_connection_end_here():
    kept = upstream_headers(
        (b"host", b"api.example"),
        (b"connection", b"close, X-Hop"),
        (b"x-hop", b"1"),
        (b"keep-alive", b"1"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"upgrade", b"h2c"),
        (b"expect", b"100-continue"),
        (b"proxy-authorization", b"x"),
        (b"accept", b"text/html"),
        (b"accept", b"*/*"),
    )
    assert [header for header in kept if not header[0].startswith(("X-Forwarded", "Via"))] == [
        ("accept", "text/html"),
        ("accept", "*/*"),
    ]


def test_what_callers_say_of_how_they_came_is_replaced():
    lies = [
        (name, b"evil")
        for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-user", b"forwarded", b"x-real-ip")
    ]
    kept = dict(upstream_headers((b"host", b"api.example:8443"), *lies, scheme="https"))
    assert kept == {
        "X-Forwarded-For": "10.0.0.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example:8443",
        "X-Forwarded-Port": "8443",
        "Via": "1.1 tollgate",
    }


def test_the_port_is_the_schemes_when_the_host_names_none():
    assert dict(upstream_headers((b"host", b"api.example"), scheme="https"))["X-Forwarded-Port"] == "443"
    assert dict(upstream_headers((b"host", b"[::1]"), scheme="http"))["X-Forwarded-Port"] == "80"


def test_earlier_intermediaries_stay_named():
    assert dict(upstream_headers((b"via", b"1.0 fred")))["Via"] == "1.0 fred, 1.1 tollgate"


def test_only_the_header_that_carried_the_key_is_held_back():
    kept = upstream_headers((b"authorization", b"mine"), (b"x-api-key", b"k"), key_headers=frozenset({b"x-api-key"}))
    assert ("authorization", "mine") in kept
    assert "x-api-key" not in dict(kept)


def test_a_chunked_request_has_no_length_besides():
    kept = dict(upstream_headers((b"transfer-encoding", b"chunked"), (b"content-length", b"3")))
    assert "content-length" not in kept
    assert "transfer-encoding" not in kept


def test_the_connection_header_cannot_hide_what_frames_the_message():
    assert (
        dict(upstream_headers((b"connection", b"content-length"), (b"content-length", b"3")))["content-length"] == "3"
    )


def test_the_upstreams_answer_comes_back_without_its_connection_and_its_limits():
    headers = forwarding.caller_headers(
        200,
        [
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
            (b"Connection", b"X-Hop"),
            (b"X-Hop", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"X-RateLimit-Remaining", b"5"),
            (b"RateLimit", b"x"),
            (b"Retry-After", b"9"),
        ],
        [(b"ratelimit", b"ours")],
    )
    assert headers == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"retry-after", b"9"),
        (b"ratelimit", b"ours"),
    ]


def test_no_content_has_no_length():
    assert forwarding.caller_headers(204, [(b"Content-Length", b"0"), (b"ETag", b"x")], ()) == [(b"etag", b"x")]


BODIES = {
    "none": ({}, "1.1", False),
    "length": ({b"content-length": b"3"}, "1.1", True),
    "length 0": ({b"content-length": b"0"}, "1.1", False),
    "chunked": ({b"transfer-encoding": b"chunked"}, "1.1", True),
    "http/2 needs no header": ({}, "2", None),
    "http/2 with a length": ({b"content-length": b"3"}, "2", True),
}


@pytest.mark.parametrize(("headers", "version", "expected"), BODIES.values(), ids=BODIES)
def test_a_body_is_expected_when_announced(headers, version, expected):
    assert forwarding.has_body({"http_version": version}, headers) is expected
