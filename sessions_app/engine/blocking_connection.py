"""A blocking connection to a counter server. One system call sends, one receives.

Threads give up the interpreter around every system call and queue to get it back; with dozens of them that costs more
than all else in a call, and a connection of redis-py makes more than twice as many.
"""

import select
import socket
import struct
import time
from collections.abc import Callable

import hiredis
import redis
from redis.sentinel import Sentinel

from sessions_app.engine.address import Address, Kind
from sessions_app.engine.dialling import introduction, tls_context
from sessions_app.engine.wire import Reply

_INCOMPLETE = object()
_CHUNK_BYTES = 65_536

# A connection that rested longer is looked at before it is used: the server may have closed it meanwhile.
_FRESH_SECONDS = 1.0


class BlockingConnection:
    """For one thread at a time. `sock` has its timeouts set."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._reader = hiredis.Reader(replyError=redis.ResponseError, notEnoughData=_INCOMPLETE)
        self._used_at = time.monotonic()

    def exchange(self, packed: bytes, count: int) -> list[Reply]:
        """Sends commands in one go and waits for as many replies; error replies are among them as ResponseErrors.

        Raises OSError, of which TimeoutError is one, or hiredis.HiredisError: the connection is of no more use then.
        """
        replies: list[Reply] = []
        try:
            self._socket.sendall(packed)
            while len(replies) < count:
                reply = self._reader.gets()
                if reply is _INCOMPLETE:
                    self._receive()
                else:
                    replies.append(reply)
        except BlockingIOError as error:
            raise TimeoutError("no answer in time") from error
        self._used_at = time.monotonic()
        return replies

    def _receive(self) -> None:
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self._reader.feed(chunk)

    def is_fit(self) -> bool:
        """False if a resting connection has something to read: its end, or what belongs to no call."""
        if time.monotonic() - self._used_at < _FRESH_SECONDS:
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._socket.close()


# --- dialling ---------------------------------------------------------------------------------------------------------


def dial(address: Address, timeout_seconds: float, sentinels: Callable[[], Sentinel]) -> BlockingConnection:
    """Reaches the server and says who asks. `sentinels` is only called for an address of that kind.

    Raises OSError or redis.RedisError, also for a refused password.
    """
    sock = _open_socket(address, timeout_seconds, sentinels)
    try:
        connection = BlockingConnection(sock)
        greeting = introduction(address)
        for reply in connection.exchange(b"".join(greeting), len(greeting)) if greeting else ():
            if isinstance(reply, redis.ResponseError):
                raise reply
    except BaseException:
        sock.close()
        raise
    return connection


def _open_socket(address: Address, timeout_seconds: float, sentinels: Callable[[], Sentinel]) -> socket.socket:
    if address.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_seconds)
        sock.connect(address.path)
        return _with_kernel_timeouts(sock, timeout_seconds)
    host, port = _server(address, sentinels)
    sock = socket.create_connection((host, port), timeout_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.tls:
        return tls_context(address).wrap_socket(sock, server_hostname=host)
    return _with_kernel_timeouts(sock, timeout_seconds)


def _server(address: Address, sentinels: Callable[[], Sentinel]) -> tuple[str, int]:
    if address.kind is Kind.SENTINEL:
        host, port = sentinels().discover_master(address.master_name)
        return str(host), int(port)
    return address.hosts[0]


def _with_kernel_timeouts(sock: socket.socket, seconds: float) -> socket.socket:
    """Python's own timeouts ask the kernel before each operation; the kernel's are free. TLS knows only Python's."""
    whole, rest = divmod(seconds, 1)
    interval = struct.pack("ll", int(whole), int(rest * 1_000_000))
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, interval)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, interval)
    return sock
