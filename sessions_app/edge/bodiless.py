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
ANNOUNCES_BODY = re.compile(rb"\r\n(?:transfer-encoding:|content-length:[ \t]*0*[1-9])", re.IGNORECASE)


def tolerant_connector(**options: Any) -> aiohttp.TCPConnector:
    """A connector for servers that send such bodies. Belongs to the running loop."""
    handler = functools.partial(TolerantHandler, loop=asyncio.get_running_loop())
    connector = aiohttp.TCPConnector(**options)
    connector._factory = cast("functools.partial[ResponseHandler]", handler)  # aiohttp has no other place to say it
    return connector


class TolerantHandler(ResponseHandler):
    """One connection to a server. A 204, a 304 and an answer to HEAD end with their head (RFC 9112 section 6.3); what
    follows is dropped, and the connection is not used again.
    """

    _is_over = False

    def data_received(self, data: bytes) -> None:
        if not self._is_over:
            super().data_received(self._head_alone(data) if self._begins_answer(data) else data)

    def _begins_answer(self, data: bytes) -> bool:
        """Whether an answer without a body begins with this piece of data; inside of another's body none does."""
        is_final = data.startswith(START) and data[STATUS][:1] != b"1"
        if not is_final or (self._payload is not None and not self._payload.is_eof()):
            return False
        return self._skip_payload or data[STATUS] in WITHOUT_BODY

    def _head_alone(self, data: bytes) -> bytes:
        """The data without what follows the head, if the head is whole. A body that is announced may still come."""
        head, end, body = data.partition(END_OF_HEAD)
        if end and (body or (not self._skip_payload and ANNOUNCES_BODY.search(head))):
            self._is_over = True
            self.force_close()
            return head + end
        return data
