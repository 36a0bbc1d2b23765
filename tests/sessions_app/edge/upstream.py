"""An upstream that speaks HTTP by hand, so that tests see and send exact bytes. The path's end names what it does."""

import json
import socket
import socketserver
import threading
import time
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 5
FLOOD_BYTES = 256 * 2**20


@dataclass
class Seen:
    """What tests wait for and look at."""

    first_chunk: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    flooded: int = 0
    requests: int = 0


class Handler(socketserver.StreamRequestHandler):
    server: "Upstream"

    def handle(self) -> None:
        while head := self._head():
            method, target, headers = head
            self.server.seen.requests += 1
            act = getattr(
                self, "do_" + target.partition("?")[0].rstrip("/").rpartition("/")[2].replace("-", "_"), self.do_echo
            )
            if act(method, target, headers) is False:
                return

    def _head(self) -> tuple[str, str, list[tuple[str, str]]] | None:
        line = self.rfile.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return None
        method, target, _ = line.split(" ")
        headers = []
        while text := self.rfile.readline().decode("latin-1").rstrip("\r\n"):
            name, _, value = text.partition(": ")
            headers.append((name, value))
        return method, target, headers

    def _body(self, headers: list[tuple[str, str]]) -> bytes:
        names = {name.lower(): value for name, value in headers}
        if names.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(names.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            self.server.seen.first_chunk.set()
        self.rfile.readline()
        return body

    def _send(self, *lines: str, body: bytes = b"") -> None:
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def do_echo(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        body = self._body(headers)
        answer = json.dumps(
            {"method": method, "target": target, "headers": headers, "body": body.decode("latin-1")}
        ).encode()
        sent = b"" if method == "HEAD" else answer
        self._send("HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(answer)}", body=sent)

    def do_headers(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send(
            "HTTP/1.1 200 Fine",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Connection: X-Hop",
            "X-Hop: 1",
            "Keep-Alive: timeout=5",
            "X-RateLimit-Limit: 99999",
            "RateLimit: of the upstream",
            "Content-Encoding: gzip",
            "X-Latin: \xe9",
            "Content-Length: 4",
            body=b"\x1f\x8b\x00\x00",
        )

    def do_no_content(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 204 No Content", "ETag: x")

    def do_not_modified(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 304 Not Modified", "ETag: x")

    def do_no_content_but_a_body(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 204 No Content", "ETag: x", "Content-Length: 5", body=b"hello")

    def do_no_content_but_a_late_body(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 204 No Content", "ETag: x", "Content-Length: 5")
        self.server.seen.release.wait(PATIENCE_SECONDS)
        self.wfile.write(b"hello")

    def do_no_content_in_pieces_but_a_body(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        for piece in (b"HTTP/1.", b"1 204 No Content\r\nETag: x\r\n", b"Content-Length: 5\r\n\r\nhel", b"lo"):
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.02)  # for a packet of its own

    def do_an_answer_as_the_body(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        """To HEAD, when its head was read long since."""
        self._send("HTTP/1.1 200 OK", "ETag: x", "Content-Length: 42")
        self.server.seen.release.wait(PATIENCE_SECONDS)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    def do_not_modified_but_a_body(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 304 Not Modified", "ETag: x", "Content-Length: 5", body=b"hello")

    def do_redirect(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 302 Found", "Location: /elsewhere", "Set-Cookie: once=1", "Content-Length: 0")

    def do_drip(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n")
        self.server.seen.release.wait(PATIENCE_SECONDS)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    def do_hang(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self.server.seen.started.set()
        self._wait_for_hang_up()
        return False

    def do_half(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        """Begins to answer, and then waits."""
        self._send("HTTP/1.1 200 OK", "Content-Length: 100", body=b"half")
        self.server.seen.started.set()
        self._wait_for_hang_up()
        return False

    def _wait_for_hang_up(self) -> None:
        self.connection.settimeout(PATIENCE_SECONDS)
        try:
            if self.connection.recv(1) == b"":
                self.server.seen.hung_up.set()
        except ConnectionError:
            self.server.seen.hung_up.set()
        except TimeoutError:
            pass

    def do_swallow(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        """Reads a body that never ends."""
        self.server.seen.started.set()
        self.connection.settimeout(PATIENCE_SECONDS)
        try:
            while self.rfile.read1(65536):
                self.server.seen.first_chunk.set()
            self.server.seen.hung_up.set()
        except (ConnectionError, TimeoutError):
            pass
        return False

    def do_flood(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 200 OK", f"Content-Length: {FLOOD_BYTES}")
        piece = bytes(65536)
        try:
            while self.server.seen.flooded < FLOOD_BYTES:
                self.wfile.write(piece)
                self.server.seen.flooded += len(piece)
        except ConnectionError:
            pass
        return False

    def do_broken(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self._send("HTTP/1.1 200 OK", "Content-Length: 100", body=b"ten bytes!")
        return False

    def do_garbage(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        return False

    def do_close(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        return False

    def do_early(self, method: str, target: str, headers: list[tuple[str, str]]) -> Any:
        """Answers without reading the body."""
        self._send("HTTP/1.1 413 Content Too Large", "Content-Length: 0", "Connection: close")
        self.connection.shutdown(socket.SHUT_WR)
        return False


class Upstream(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = Seen()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """A proxy that went away is not worth a traceback."""
