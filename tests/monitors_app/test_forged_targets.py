"""Ways to talk a webhook into the operator's own network (rule 7.11): each URL is really sent to, and must not arrive.

The receiver listens on all addresses of this machine, so that only the guard is in the way.
"""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network

import pytest

from monitors_app import lookups, transports
from monitors_app.targets import target_path_error
from monitors_app.transports import TransportError, Webhook

HOSTS = [
    # IPv4, as people write it and as only resolvers understand it
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "127.1", "127.0.1", "0", "0x0",
    "127.0.0.1.", "127.0.0.01", "3232235521", "0xa9fea9fe", "2852039166",
    # IPv6, and IPv4 inside it
    "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]",
    "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[::7f00:1]", "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]", "[2001::80ff:fffe]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]",
    "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]",
    # names
    "localhost", "LOCALHOST", "localhost.", "ⓛocalhost", "１２７.0.0.1", "127。0。0。1",
]  # fmt: skip


@pytest.fixture
def arrived() -> list[str]:
    """The Host headers that reached the service inside."""
    return []


@pytest.fixture
def inside(arrived: list[str]) -> Iterator[int]:
    """A service on every address of this machine; its port. Fails the test if anything arrives."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(self.headers["Host"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            super().server_bind()

    server = Server(("::", 0), Handler) if socket.has_ipv6 else ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()
    assert arrived == []


@pytest.fixture(autouse=True)
def no_network_is_allowed(settings):
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = ()


def post(url: str) -> None:
    transports.send(Webhook("POST", url, {}, b"{}"))


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_arrives_inside(host, inside):
    with pytest.raises(TransportError):
        post(f"http://{host}:{inside}/")


def test_there_are_at_least_forty_of_them():
    assert len(set(HOSTS)) >= 40


def test_the_service_would_be_reached_if_it_were_allowed(inside, arrived, settings):
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    hosts = ["127.0.0.1", "[::ffff:7f00:1]", "[::1]"]
    for host in hosts:
        post(f"http://{host}:{inside}/")
    assert len(arrived) == len(hosts)
    arrived.clear()


# --- names ------------------------------------------------------------------------------------------------------------


def resolver_that_says(monkeypatch, *answers: list[str]) -> list[str]:
    """Names resolve to these addresses, another list with each question. Returns the questions."""
    asked: list[str] = []

    def getaddrinfo(host, port, *args, **kwargs):
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["64:ff9b::7f00:1", "::1"]],
    ids=str,
)
def test_a_name_is_judged_by_every_address_it_has(addresses, inside, monkeypatch):
    resolver_that_says(monkeypatch, addresses)
    with pytest.raises(TransportError, match="GATEWAY_WEBHOOK_ALLOWED_NETS"):
        post(f"http://innocent.example:{inside}/")


def test_an_answer_that_changes_between_check_and_use_is_asked_for_only_once(inside, monkeypatch):
    asked = resolver_that_says(monkeypatch, ["203.0.113.9"], ["127.0.0.1"])
    with pytest.raises(TransportError):
        post(f"http://rebinding.example:{inside}/")
    assert asked == ["rebinding.example"]
    with pytest.raises(TransportError, match="loopback"):
        post(f"http://rebinding.example:{inside}/")


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_no_way_around(name, inside, monkeypatch):
    monkeypatch.setenv(name, f"http://127.0.0.1:{inside}")
    resolver_that_says(monkeypatch, ["10.0.0.1"])
    with pytest.raises(TransportError, match=r"10\.0\.0\.1"):
        post("http://hooks.example/")


def fail_to_reach(url: str) -> None:
    with pytest.raises(TransportError):
        post(url)


def test_a_name_server_that_hangs_holds_nobody_longer_than_connecting_may_take(monkeypatch):
    monkeypatch.setattr(transports, "CONNECT_SECONDS", 0.2)
    release, asked = threading.Event(), []

    def hang(host, *args, **kwargs):
        asked.append(host)
        release.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    threads = [threading.Thread(target=fail_to_reach, args=["http://dead.example/"]) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert asked == ["dead.example"], "a second delivery joins the lookup that still hangs"
    release.set()
    lookups._look_up(("dead.example", 80, 0)).exception(5)


# --- ports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", [22, 25, 465, 2375, 2379, 3306, 5432, 6379, 9200, 11211])
def test_ports_of_other_protocols_are_refused_when_saved_and_when_connected_to(port, settings):
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = (ip_network("127.0.0.0/8"),)
    assert f"port {port}" in target_path_error(f"http://hooks.example:{port}/")
    with pytest.raises(TransportError, match=f"port {port}"):
        post(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("port", [80, 443, 8000, 8080, 8443, 30000])
def test_ports_where_receivers_listen_are_fine(port):
    assert target_path_error(f"https://hooks.example:{port}/") == ""
