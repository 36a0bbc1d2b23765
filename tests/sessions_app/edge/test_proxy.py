"""The whole edge as users run it: the project's ASGI application in granian, before an upstream that speaks by hand.

All tests share one server, one database and one store: each has an API or a key of its own where it matters.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from django.core.management import call_command

from sessions_app import grants, routes
from tests.sessions_app.edge.conftest import World, database_url
from tests.sessions_app.edge.upstream import FLOOD_BYTES, PATIENCE_SECONDS, Seen, Upstream

# The mark has the database made; rows come from the module fixture and stay for all tests.
pytestmark = [pytest.mark.django_db, pytest.mark.services]

START_SECONDS = 30
READ_SECONDS = 3  # of the gateway for an upstream


@dataclass
class Site:
    port: int
    upstream: Upstream
    token: str
    limited_token: str

    @property
    def seen(self) -> Seen:
        return self.upstream.seen

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)

    def ask(self, method: str, target: str, body=None, **headers: str):
        """(response, body) of one request with the site's key, unless the headers bring their own."""
        connection = self.connect()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, {"X-Api-Key": self.token, **given})
        response = connection.getresponse()
        with response:
            return response, response.read()

    def echo(self, target: str, method: str = "GET", body=None, **headers: str) -> Any:
        response, answer = self.ask(method, target, body, **headers)
        assert response.status == 200, answer
        return json.loads(answer)

    @contextmanager
    def raw(self, text: str) -> Iterator[socket.socket]:
        """A connection on which this request head was sent, with the key."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as connection:
            connection.sendall(f"{text}\r\nHost: gw.example:81\r\nX-Api-Key: {self.token}\r\n\r\n".encode())
            yield connection


@pytest.fixture(scope="module")
def site(store_url, django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Site]:
    with django_db_blocker.unblock():
        call_command("flush", interactive=False, verbosity=0)
        with redis.Redis.from_url(store_url) as client:
            for name in client.scan_iter("tg:*"):
                client.delete(name)
        grants.forget()
        routes.forget()
        upstream = Upstream()
        world = World("proxy-")
        world.api("a", listen_path="/a/", target_url=f"{upstream.url}/base/")
        world.api("custom", listen_path="/custom/", target_url=upstream.url, auth_header_name="X-Custom")
        world.api("dead", listen_path="/dead/", target_url=f"http://127.0.0.1:{_unused_port()}/")
        tokens = world.key(), world.key(quota_max=50)
        with _granian(tmp_path_factory.mktemp("granian") / "log") as port:
            yield Site(port, upstream, *tokens)
        upstream.shutdown()
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(autouse=True)
def _nothing_seen(site):
    site.upstream.seen = Seen()


def _unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _granian(log_path) -> Iterator[int]:
    port = _unused_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
        "GATEWAY_UPSTREAM_READ_SECONDS": str(READ_SECONDS),
        "GATEWAY_DEMO": "0",
    }
    options = f"--interface asgi --port {port} --loop uvloop --no-ws --log-level warning"  # as `manage.py up` has it
    command = [sys.executable, "-m", "granian", "gateway_project.asgi:application", *options.split()]
    with open(log_path, "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(port, server, log_path)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes], log_path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"granian did not start:\n{log_path.read_text()}")


def all_of(echo: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in echo["headers"] if key.lower() == name.lower()]


# --- what goes on -----------------------------------------------------------------------------------------------------


def test_method_path_query_and_body_reach_the_upstream(site):
    echo = site.echo("/a/x/y?z=1&z=%20", "POST", b'{"n": 1}')
    assert (echo["method"], echo["target"], echo["body"]) == ("POST", "/base/x/y?z=1&z=%20", '{"n": 1}')
    assert all_of(echo, "content-length") == ["8"]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_any_method_is_passed_on(site, method):
    assert site.echo("/a/x", method)["method"] == method


def test_the_raw_path_is_kept_byte_by_byte(site):
    target = "/a/%7Eb%2Fc//d;e=1,f/./%zz?x=[1]&y=a+b&&"
    assert site.echo(target)["target"] == "/base/%7Eb%2Fc//d;e=1,f/./%zz?x=[1]&y=a+b&&"


@pytest.mark.parametrize("target", ["/a/../custom/x", "/a/..%2fsecret", "//a/x", "/a/%2e%2e/%2e%2e/etc"])
def test_paths_that_the_upstream_would_read_differently_lead_nowhere(site, target):
    response, _ = site.ask("GET", target)
    assert response.status == 404
    assert site.seen.requests == 0


def test_the_host_is_the_upstreams_and_the_callers_is_told(site):
    echo = site.echo(
        "/a/x", X_Forwarded_For="6.6.6.6", X_Forwarded_Host="evil", Forwarded="for=6.6.6.6", X_Real_IP="6.6.6.6"
    )
    assert all_of(echo, "host") == [site.upstream.url.removeprefix("http://")]
    assert all_of(echo, "x-forwarded-for") == ["127.0.0.1"]
    assert all_of(echo, "x-forwarded-proto") == ["http"]
    assert all_of(echo, "x-forwarded-host") == [f"127.0.0.1:{site.port}"]
    assert all_of(echo, "x-forwarded-port") == [str(site.port)]
    assert all_of(echo, "forwarded") == all_of(echo, "x-real-ip") == []


def test_nothing_is_added_in_the_callers_name(site):
    with site.raw("GET /a/x HTTP/1.1\r\nConnection: close") as connection:
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    names = {name.lower() for name, _ in json.loads(answer.rpartition(b"\r\n\r\n")[2])["headers"]}
    assert names == {"host", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"}


def test_hop_by_hop_headers_end_here(site):
    echo = site.echo(
        "/a/x", Connection="X-Hop", X_Hop="1", TE="trailers", Keep_Alive="1", Upgrade="h2c", Proxy_Authorization="p"
    )
    names = {name.lower() for name, _ in echo["headers"]}
    assert not names & {"connection", "x-hop", "te", "keep-alive", "upgrade", "proxy-authorization"}


KEY_HEADERS = {
    "x-api-key": ({"X-Api-Key": "{}"}, {"x-api-key"}),
    "authorization": ({"X-Api-Key": "", "Authorization": "Bearer {}"}, {"authorization"}),
    "both": ({"X-Api-Key": "{}", "Authorization": "{}"}, {"authorization", "x-api-key"}),
}


@pytest.mark.parametrize(("headers", "held_back"), KEY_HEADERS.values(), ids=KEY_HEADERS)
def test_the_key_stays_here(site, headers, held_back):
    echo = site.echo("/a/x", **{name: value.format(site.token) for name, value in headers.items()})
    assert site.token not in json.dumps(echo)
    assert not held_back & {name.lower() for name, _ in echo["headers"]}


def test_another_key_header_leaves_authorization_to_the_upstream(site):
    echo = site.echo("/custom/x", X_Custom=site.token, X_Api_Key="theirs", Authorization="Basic dGhlaXJz")
    assert all_of(echo, "authorization") == ["Basic dGhlaXJz"]
    assert all_of(echo, "x-api-key") == ["theirs"]
    assert site.token not in json.dumps(echo)


def test_expect_continue_is_answered_here_and_the_body_passed_on(site):
    with site.raw("POST /a/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    echo = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    assert echo["body"] == "hello"
    assert all_of(echo, "expect") == []


# --- what comes back --------------------------------------------------------------------------------------------------


def test_the_answer_comes_back_with_repeated_headers_and_untouched_body(site):
    response, body = site.ask("GET", "/a/headers")
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert response.headers["content-encoding"] == "gzip"
    assert body == b"\x1f\x8b\x00\x00"
    assert response.headers["x-latin"] == "\xe9"
    assert not {"connection", "x-hop", "keep-alive"} & {name.lower() for name in response.headers}


def test_limits_of_the_upstream_are_replaced_by_ours(site):
    response, _ = site.ask("GET", "/a/headers", X_Api_Key=site.limited_token)
    assert response.headers.get_all("x-ratelimit-limit") == ["50"]
    assert response.headers.get_all("ratelimit-policy") == ['"key-quota";q=50']
    [state] = response.headers.get_all("ratelimit")
    assert state.startswith('"key-quota";r=4')
    unlimited, _ = site.ask("GET", "/a/headers")
    assert not {"ratelimit", "x-ratelimit-limit"} & {name.lower() for name in unlimited.headers}


def test_a_failing_upstream_costs_a_unit_and_says_what_is_left(site):
    """Rule 2.5: whatever the upstream answers."""
    left = [
        int(site.ask("GET", "/dead/", X_Api_Key=site.limited_token)[0].headers["x-ratelimit-remaining"])
        for _ in range(2)
    ]
    assert left[0] - left[1] == 1


def test_head_has_the_length_and_no_body(site):
    response, body = site.ask("HEAD", "/a/x")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["content-length"]) > 100


@pytest.mark.parametrize(("path", "status"), [("no-content", 204), ("not-modified", 304)])
def test_answers_without_a_body_keep_the_connection_usable(site, path, status):
    connection = site.connect()
    for _ in range(2):
        connection.request("GET", f"/a/{path}", headers={"X-Api-Key": site.token})
        with connection.getresponse() as response:
            assert (response.status, response.read(), response.headers["etag"]) == (status, b"", "x")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("no-content-but-a-body", 204),
        ("no-content-but-a-late-body", 204),
        ("no-content-in-pieces-but-a-body", 204),
        ("not-modified-but-a-body", 304),
    ],
)
def test_a_body_that_must_not_be_is_dropped_and_disturbs_no_other_request(site, path, status):
    """Rule 2.5: whatever the upstream answers. The next request gets its own answer, not the rest of this one's."""
    for _ in range(5):
        response, body = site.ask("GET", f"/a/{path}")
        assert (response.status, body, response.headers["etag"]) == (status, b"", "x")
        site.seen.release.set()
        assert site.ask("GET", "/a/x")[0].status == 200


def test_a_body_after_an_answer_to_head_is_nobodys_answer(site):
    """Not even if it looks like one, and comes when the connection could serve somebody else."""
    for _ in range(5):
        site.seen.release.clear()
        response, body = site.ask("HEAD", "/a/an-answer-as-the-body")
        assert (response.status, body, response.headers["etag"]) == (200, b"", "x")
        site.seen.release.set()
        assert site.echo("/a/x")["target"].endswith("/x")


def test_a_body_after_an_answer_to_head_is_dropped(site):
    for _ in range(5):
        response, body = site.ask("HEAD", "/a/headers")
        assert (response.status, body) == (200, b"")
        assert site.ask("GET", "/a/x")[0].status == 200


def test_redirects_and_cookies_are_the_callers_business(site):
    response, _ = site.ask("GET", "/a/redirect")
    assert (response.status, response.headers["location"]) == (302, "/elsewhere")
    assert all_of(site.echo("/a/x"), "cookie") == []


# --- streams ----------------------------------------------------------------------------------------------------------


def test_the_answer_streams(site):
    connection = site.connect()
    connection.request("GET", "/a/drip", headers={"X-Api-Key": site.token})
    response = connection.getresponse()
    assert response.read1(100) == b"first"
    site.seen.release.set()
    assert response.read() == b"second"


def test_the_request_streams(site):
    """The second chunk is only made once the first has reached the upstream."""

    def chunks():
        yield b"first "
        assert site.seen.first_chunk.wait(PATIENCE_SECONDS)
        yield b"second"

    connection = site.connect()
    connection.request("POST", "/a/x", chunks(), {"X-Api-Key": site.token}, encode_chunked=True)
    echo = json.loads(connection.getresponse().read())
    assert echo["body"] == "first second"
    assert all_of(echo, "transfer-encoding") == ["chunked"]


def test_large_bodies_pass_both_ways(site):
    body = os.urandom(2**20).hex()
    assert site.echo("/a/x", "POST", body.encode())["body"] == body


def test_a_slow_caller_slows_the_upstream_down(site):
    with site.raw("GET /a/flood HTTP/1.1") as connection:
        connection.recv(1000)
        last = -1
        while site.seen.flooded != last:  # until it stands still
            last = site.seen.flooded
            time.sleep(0.3)
        assert 0 < last < FLOOD_BYTES / 2


def test_an_early_answer_does_not_wait_for_the_rest_of_the_body(site):
    with site.raw("POST /a/early HTTP/1.1\r\nContent-Length: 100000") as connection:
        connection.sendall(b"the beginning")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


# --- callers who leave ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["hang", "half"])
def test_a_caller_who_leaves_ends_the_upstream_call(site, path):
    """Before the answer, and in the middle of it; sooner than the read timeout would."""
    with site.raw(f"GET /a/{path} HTTP/1.1"):
        assert site.seen.started.wait(PATIENCE_SECONDS)
    assert site.seen.hung_up.wait(READ_SECONDS - 0.2)


def test_a_caller_who_leaves_in_the_middle_of_the_body_ends_the_upstream_call(site):
    with site.raw("POST /a/swallow HTTP/1.1\r\nContent-Length: 100") as connection:
        connection.sendall(b"some")
        assert site.seen.first_chunk.wait(PATIENCE_SECONDS)
    assert site.seen.hung_up.wait(READ_SECONDS - 0.2)


# --- failures ---------------------------------------------------------------------------------------------------------

FAILURES = {
    "refused": ("/dead/x", 502, "upstream_unreachable"),
    "closed without an answer": ("/a/close", 502, "upstream_failed"),
    "no HTTP": ("/a/garbage", 502, "upstream_failed"),
    "too slow": ("/a/hang", 504, "upstream_timeout"),
}


@pytest.mark.parametrize(("target", "status", "code"), FAILURES.values(), ids=FAILURES)
def test_an_upstream_that_fails_is_a_problem_that_says_so(site, target, status, code):
    response, body = site.ask("POST", target, b"")
    assert (response.status, response.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["code"] == code


@pytest.mark.parametrize("path", ["broken", "half"])
def test_an_answer_that_breaks_off_is_not_passed_on_as_complete(site, path):
    connection = site.connect()
    connection.request("GET", f"/a/{path}", headers={"X-Api-Key": site.token})
    response = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        response.read()


# --- the rest of the edge ---------------------------------------------------------------------------------------------


def test_websockets_are_not_supported_and_say_so(site):
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    with site.raw(f"GET /a/x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 501 ")
    assert site.seen.requests == 0


def test_denied_requests_reach_no_upstream(site):
    response, body = site.ask("GET", "/a/x", X_Api_Key="nobody")
    assert (response.status, json.loads(body)["code"]) == (401, "unknown_key")
    assert site.seen.requests == 0


def test_unknown_paths_are_a_problem_and_reserved_ones_are_djangos(site):
    response, body = site.ask("GET", "/nowhere/")
    assert (response.status, json.loads(body)["code"]) == (404, "unknown_api")
    assert site.ask("GET", "/healthz")[0].status == 200
    assert site.ask("GET", "/admin/login/")[0].status == 200
    assert json.loads(site.ask("GET", "/me/usage")[1]) == {"limits": []}
    assert b"tollgate_decisions_total" in site.ask("GET", "/metrics")[1]


def test_many_callers_at_once_share_the_process(site):
    """While some hang, others are served: one after the other would take a minute."""
    hanging = [threading.Thread(target=site.ask, args=("GET", "/a/hang")) for _ in range(20)]
    for thread in hanging:
        thread.start()
    began = time.monotonic()
    for _ in range(20):
        site.echo("/a/x")
    assert time.monotonic() - began < 20 * READ_SECONDS / 2
    for thread in hanging:
        thread.join()
