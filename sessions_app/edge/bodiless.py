"""Bodies that servers send after answers that have none: dropped, where aiohttp would take them for the next answer."""

import asyncio
import functools
import re
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

START = b"HTTP/1."
STATUS = slice(9, 12)  # of a status line: HTTP/1.1 204
WITHOUT_BODY = (b"204", b"304")
END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 65_536
ANNOUNCES_BODY = re.compile(rb"\r\n(?:transfer-encoding:|content-length:[ \t]*0*[1-9])", re.IGNORECASE)


def tolerant_connector(**options: Any) -> aiohttp.TCPConnector:
    """A connector for servers that send such bodies. Belongs to the running loop."""
    handler = functools.partial(TolerantHandler, loop=asyncio.get_running_loop())
    connector = aiohttp.TCPConnector(**options)
    connector._factory = cast("functools.partial[ResponseHandler]", handler)  # aiohttp has no other place to say it
    return connector


class TolerantHandler(ResponseHandler):
    """One connection to a server. A 204, a 304 and an answer to HEAD end with their head (RFC 9112 section 6.3); what
    follows is dropped, and the connection is not used again. So it is when the head announces a body, which may come
    later. One that comes later and was not announced breaks the next request on the connection.
    """

    _is_over = False
    _begun = b""  # of a head that has not come as a whole

    def data_received(self, data: bytes) -> None:
        data, self._begun = self._begun + data, b""
        if self._is_over or not self._begins_answer(data):
            return None if self._is_over else super().data_received(data)
        if END_OF_HEAD not in data and len(data) < LONGEST_HEAD:
            self._begun = data
            return None
        return super().data_received(self._head_alone(data))

    def eof_received(self) -> None:
        if self._begun:
            super().data_received(self._begun)
        super().eof_received()

    def _begins_answer(self, data: bytes) -> bool:
        """Whether an answer without a body may begin with this piece of data; inside of another's body none does."""
        if self._parser is None or (self._payload is not None and not self._payload.is_eof()):
            return False
        if len(data) < STATUS.stop:
            return data.startswith(START[: len(data)])
        is_final = data.startswith(START) and data[STATUS][:1] != b"1"
        return is_final and (self._skip_payload or data[STATUS] in WITHOUT_BODY)

    def _head_alone(self, data: bytes) -> bytes:
        """The data without what follows the head. A body that is announced may still come, after HEAD too."""
        head, end, body = data.partition(END_OF_HEAD)
        if end and (body or ANNOUNCES_BODY.search(head)):
            self._is_over = True
            self.force_close()
            return head + end
        return data
