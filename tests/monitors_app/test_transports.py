"""One HTTP request to a real receiver: what leaves, and what is made of each answer."""

import socket
import threading
from ipaddress import ip_network

import pytest

from monitors_app import transports
from monitors_app.transports import Answer, TransportError, Webhook


def post(url, **changes):
    return transports.send(
        Webhook(**({"method": "POST", "url": url, "headers": {"X-A": "b"}, "body": b"{}"} | changes))
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_sends_method_headers_and_body_as_given(method, receiver):
    post(receiver.url, method=method, headers={"X-Tyk-Monitor-Secret": "12345"}, body=b'{"a":1}')
    arrival = receiver.arrivals[0]
    assert (arrival.method, arrival.path, arrival.body) == (method, "/hook", b'{"a":1}')
    assert arrival.headers["x-tyk-monitor-secret"] == "12345"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_delivered(status, receiver):
    receiver.answers = [status]
    assert post(receiver.url).status_code == status


def test_a_204_with_a_body_is_delivered_too(receiver):
    """Rule 7.10: it is a 2xx, if one that the HTTP client by itself would not understand."""
    receiver.answers = [(204, {}, b"thanks")] * 10
    assert [post(receiver.url).status_code for _ in range(10)] == [204] * 10


@pytest.mark.parametrize(
    ("status", "permanent"), [(301, False), (400, False), (404, False), (410, True), (429, False), (503, False)]
)
def test_every_other_status_is_a_failure_and_410_is_one_for_good(status, permanent, receiver):
    receiver.answers = [(status, {"Retry-After": "7"}, b"sorry")]
    with pytest.raises(TransportError, match=str(status)) as failure:
        post(receiver.url)
    assert failure.value.permanent is permanent
    assert failure.value.answer == Answer(status, "sorry", False, "7")


def test_redirects_are_not_followed(receiver):
    receiver.answers = [(302, {"Location": receiver.url}, b"")]
    with pytest.raises(TransportError, match="redirects are not followed"):
        post(receiver.url)
    assert len(receiver.arrivals) == 1


def test_proxies_of_the_environment_are_ignored(receiver, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(receiver.url).status_code == 200


def test_only_the_beginning_of_an_endless_answer_is_read(receiver):
    receiver.answers = [(200, {}, b"x" * 10_000_000)]
    answer = post(receiver.url)
    assert answer.is_cut and len(transports.without_secrets(answer, [], "")) == 4096


def test_a_compressed_answer_is_not_unpacked(receiver):
    receiver.answers = [(200, {"Content-Encoding": "gzip"}, b"not gzip at all")]
    assert post(receiver.url).body == "not gzip at all"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "[::1]", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "127.0.0.1.", "localhost."],
)  # fmt: skip
def test_loopback_is_not_reached_however_it_is_written(host, receiver, settings):
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = ()
    port = receiver.url.split(":")[2].split("/")[0]
    with pytest.raises(TransportError):
        post(f"http://{host}:{port}/hook")
    assert receiver.arrivals == []


def test_a_name_is_judged_by_the_address_that_is_connected_to(receiver, settings, monkeypatch):
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = ()
    port = int(receiver.url.split(":")[2].split("/")[0])

    def rebinding(host, *args, **kwargs):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with pytest.raises(TransportError, match="loopback"):
        post(f"http://innocent.example:{port}/hook")
    assert receiver.arrivals == []
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = (ip_network("127.0.0.1/32"),)
    assert post(f"http://innocent.example:{port}/hook").status_code == 200


def test_says_when_nobody_listens_or_the_name_is_unknown(receiver, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(TransportError, match="Could not reach the receiver"):
            post(f"http://127.0.0.1:{free.getsockname()[1]}/")

    def unknown(host, *args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(TransportError, match="does not resolve"):
        post("http://nobody.example/")


def test_a_receiver_that_hangs_times_out(receiver, monkeypatch):
    monkeypatch.setattr(transports, "TOTAL_SECONDS", 0.2)
    release = threading.Event()
    receiver.answers = [lambda arrival: 200 if release.wait(5) else 500]
    with pytest.raises(TransportError, match="Timed out"):
        post(receiver.url)
    release.set()


@pytest.mark.parametrize("goes_on", [True, False], ids=["hangs", "breaks off"])
def test_the_status_counts_even_if_the_body_never_ends(goes_on, receiver, monkeypatch):
    monkeypatch.setattr(transports, "TOTAL_SECONDS", 0.3)
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbegun")
                done.wait(5 if goes_on else 0)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert post(f"http://127.0.0.1:{server.getsockname()[1]}/") == Answer(200, "begun")
        finally:
            done.set()
            thread.join()


def test_a_certificate_that_nobody_trusts_is_refused(receiver):
    with pytest.raises(TransportError, match="Could not reach the receiver"):
        post(receiver.url.replace("http://", "https://"))


# --- what may be stored of an answer ----------------------------------------------------------------------------------


def test_an_echoed_secret_is_not_stored():
    answer = Answer(200, "you sent tg_secret and again tg_secret\x00")
    assert transports.without_secrets(answer, ["tg_secret"], "[hidden]") == "you sent [hidden] and again [hidden]\ufffd"


def test_not_even_a_part_of_a_secret_is_stored_where_the_answer_was_cut():
    limit = transports.MAX_BODY_BYTES + transports.BODY_MARGIN_BYTES
    secret = "s" * 5 + "ecret" * 40
    for shift in range(0, 220, 20):
        body = ("x" * shift + secret * 100)[:limit]
        assert "ecret" not in transports.without_secrets(Answer(200, body, is_cut=True), [secret], "")


def test_long_answers_in_any_script_are_cut_to_4_kb():
    assert len(transports.without_secrets(Answer(200, "ü" * 4000), [], "").encode()) <= 4096
