"""Clients of the two administration APIs, as programs use them: JSON in, JSON out, with the secret of the tests."""

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from organisations_app import audit
from organisations_app.admin_tokens import EVERYTHING, SCOPES, create_token
from organisations_app.models import AdminToken
from sessions_app import grants, usage
from sessions_app.engine import check
from sessions_app.store import sync_store

SECRET = "secret-of-the-tests"
ALL_IS_FINE = range(200, 300)


@dataclass
class Administration:
    """`prefix` and `headers` make it Tyk's dialect or `/api/v1`."""

    prefix: str
    headers: dict[str, str]
    client: Client = field(default_factory=Client)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The test client's answer. `body` is JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        more = {"content_type": "application/json", "headers": self.headers, **more}
        return self.client.generic(method, self.prefix + path, data, **more)

    def get(self, path: str) -> Any:
        return self.done("GET", path)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be fine."""
        answer = self.ask(method, path, body)
        assert answer.status_code in ALL_IS_FINE, (answer.status_code, answer.content)
        return answer.json() if answer.content else None

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        answer = self.ask(method, path, body, **more)
        assert answer.status_code not in ALL_IS_FINE, answer.content
        return answer.status_code, answer.json()


def tyk_client() -> Administration:
    return Administration("/tyk", {"X-Tyk-Authorization": SECRET})


def rest_client() -> Administration:
    return Administration("/api/v1", {"Authorization": f"Bearer {SECRET}"})


def token_client(*scopes: str, organisation_id: str | None = None, **fields: Any) -> Administration:
    """`/api/v1` with an admin token that has these scopes (all, if none are named)."""
    token = AdminToken(name="t", organisation_id=organisation_id, scopes=list(scopes or SCOPES), **fields)
    return Administration("/api/v1", {"Authorization": f"Bearer {create_token(token, audit.ROOT, EVERYTHING)}"})


def pointers(problem: Any) -> list[str]:
    return [error["pointer"] for error in problem["errors"]]


class Loader:
    """The edge's loader without its cache."""

    snapshots = staticmethod(usage.snapshots)

    def __init__(self, token: str, api_id: str) -> None:
        self.token, self.api_id = token, api_id

    def load(self, freshness: int) -> Any:
        return grants.compile_grant(self.token, self.api_id)


def spend(token: str, api_id: str, times: int = 1) -> list[str]:
    """Requests with this key, judged by the engine; their outcomes."""
    return [str(check.check(sync_store(), Loader(token, api_id)).outcome) for _ in range(times)]
