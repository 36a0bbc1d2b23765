"""Files as they come from Tyk, and imports of them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from sessions_app import grants, routes, strangers
from sessions_app.edge.judging import judge
from sessions_app.edge.loading import Request
from tyk_migration import importing
from tyk_migration.importing import Options, Sources
from tyk_migration.report import Report, as_json

SAMPLES = Path(settings.BASE_DIR).parent / "shared" / "tyk" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="Tyk's sample files are not beside this checkout")

API: dict[str, Any] = {
    "api_id": "orders",
    "name": "Orders",
    "org_id": "acme",
    "active": True,
    "proxy": {"listen_path": "/orders/", "target_url": "http://upstream.example/", "strip_listen_path": True},
    "version_data": {"not_versioned": True, "versions": {}},
}
RIGHTS: dict[str, Any] = {"orders": {"api_id": "orders", "api_name": "Orders", "versions": ["Default"], "limit": {}}}
POLICY: dict[str, Any] = {
    "name": "Gold",
    "org_id": "acme",
    "quota_max": 100,
    "quota_renewal_rate": 3600,
    "rate": 5,
    "per": 1,
    "access_rights": RIGHTS,
    "active": True,
}
SESSION: dict[str, Any] = {
    "org_id": "acme",
    "alias": "dev@acme.example",
    "quota_max": 100,
    "quota_renewal_rate": 3600,
    "access_rights": RIGHTS,
    "meta_data": {"DeveloperID": "7"},
    "tags": ["paid"],
}


@dataclass(frozen=True)
class Imported:
    report: Report

    @property
    def json(self) -> dict[str, Any]:
        return as_json(self.report)

    def counts(self, kind: str) -> dict[str, int]:
        return {outcome: count for outcome, count in self.json["kinds"][kind].items() if count}

    @property
    def reasons(self) -> list[str]:
        return [f"{each.place}{each.pointer}: {each.reason}" for each in self.report.refusals]

    def differs(self, words: str) -> list[str]:
        """The rows that a difference with these words names."""
        return [who for what, seen in self.report.differences.items() if words in what for who in seen.examples]


@dataclass(frozen=True)
class Desk:
    """A folder with Tyk's files."""

    folder: Path

    def file(self, name: str, content: Any) -> Path:
        """Writes a file: text as it is, a list of pairs as lines of keys and sessions, all else as JSON."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def lines(self, name: str, rows: list[Any]) -> Path:
        return self.file(name, "".join(json.dumps(row) + "\n" for row in rows))

    def take(
        self, *, hashed: str | None = None, is_dry: bool = False, is_strict: bool = False, **parts: Path
    ) -> Imported:
        options = Options(hashed=hashed, is_dry=is_dry, is_strict=is_strict)
        return Imported(importing.run(Sources(**parts), options))

    def keys(self, *rows: Any, **options: Any) -> Imported:
        return self.take(keys=self.lines("keys.jsonl", list(rows)), **options)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def orders(desk: Desk) -> Desk:
    """With Acme's API and its policy imported."""
    desk.take(apis=desk.file("apis/orders.json", API), policies=desk.file("policies.json", {"gold": POLICY}))
    return desk


@pytest.fixture(autouse=True)
def _forget_what_other_databases_said(store):
    routes.forget()
    grants.forget()
    strangers.forget_all()
    yield
    strangers.forget_all()


@pytest.fixture
def judged() -> Callable[..., Any]:
    def call(token: str, path: str = "/orders/") -> Any:
        return judge(Request(path, {b"authorization": token.encode()})).decision

    return call
