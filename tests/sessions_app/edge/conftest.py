"""A small world for the faces: Acme's APIs and keys, and requests to ASGI applications without a server."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection

from organisations_app.models import Organisation
from policies_app import catalogue
from policies_app.models import Api
from sessions_app import keys
from sessions_app.models import Key, KeyAccess

HOST = (b"host", b"localhost")


@pytest.fixture(autouse=True)
def _each_in_a_fresh_process(fresh_process):
    """Also tests that need no store."""


@dataclass
class World:
    """Acme. Its ids, paths and keys begin with `name`, so that worlds that share a database never meet."""

    name: str = ""

    def __post_init__(self) -> None:
        self.organisation = Organisation.objects.create(id=f"{self.name}acme", name="Acme")

    def api(self, name: str, **fields: Any) -> Api:
        fields = {"target_url": "", "listen_path": f"/{self.name}{name}/", **fields}
        api = Api(id=f"{self.name}{name}", organisation=self.organisation, name=name, **fields)
        catalogue.save_api(api)
        return api

    def key(self, *apis: str, **fields: Any) -> str:
        """A new key with access to these APIs (all by default); its raw token."""
        access = [f"{self.name}{name}" for name in apis] or Api.objects.values_list("pk", flat=True)
        key = Key(organisation=self.organisation, **fields)
        return keys.create_key(key, access=[KeyAccess(api_id=api_id) for api_id in access])


@pytest.fixture
def world(transactional_db, store) -> World:
    return World()


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        return self.json["code"]


def call(
    application: Any, path: str, *headers: tuple[str, str], method: str = "GET", client: str = "10.0.0.9"
) -> Response:
    """One request in an event loop of its own."""
    return asyncio.run(acall(application, path, *headers, method=method, client=client))


async def acall(
    application: Any, target: str, *headers: tuple[str, str], method: str = "GET", client: str = "10.0.0.9"
) -> Response:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [HOST, *((name.lower().encode(), value.encode()) for name, value in headers)],
        "client": (client, 4711),
        "server": ("127.0.0.1", 8000),
    }
    sent: list[dict[str, Any]] = []
    body = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in body:
            return message
        await asyncio.Event().wait()  # the caller stays
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Response(sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent[1:]))


def database_url() -> str:
    """The test database, for a child process."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    login, address = f"{settings['USER']}:{settings['PASSWORD']}", f"{settings['HOST']}:{settings['PORT'] or 5432}"
    return f"postgres://{login}@{address}/{settings['NAME']}"
