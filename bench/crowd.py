"""Receivers of webhooks on many addresses of this machine, some of which take every request and never answer."""

import asyncio
import threading
import time
from collections.abc import Collection

CLOSED = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class Crowd:
    """Listens on all of 127.0.0.0/8 (Linux). Notes when each webhook arrived, by host and `webhook-id`."""

    def __init__(self) -> None:
        self.hanging: Collection[str] = ()
        self.arrived_at: dict[tuple[str, str], float] = {}
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "0.0.0.0", 0, backlog=1024))
        self.port: int = self._server.sockets[0].getsockname()[1]
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def url(self, number: int) -> str:
        return f"http://{host(number)}:{self.port}/"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
        address = str(writer.get_extra_info("sockname")[0])
        self.arrived_at.setdefault((address, headers["webhook-id"]), time.time())
        if address in self.hanging:
            await reader.read()  # until the sender gives up
        else:
            writer.write(CLOSED)
        writer.close()


def host(number: int) -> str:
    return f"127.0.1.{number}"
