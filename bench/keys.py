"""How fast keys are made and listed through `/api/v1`, by one WSGI process, in a database with many keys.

A process of its own with the gateway's settings: `python -m bench.keys`. The database is one to play with: where it has
fewer keys than `BENCH_KEYS` (a million), that many are added once, which takes some minutes.
"""

import base64
import http.client
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import django
from django.conf import settings

django.setup()

from django.core.management import call_command  # noqa: E402 - what imports models needs the line above
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from bench.findings import Kept  # noqa: E402
from bench.scenarios import CONTROL  # noqa: E402
from bench.servers import running_server  # noqa: E402
from demo import scale  # noqa: E402
from organisations_app.models import Organisation  # noqa: E402
from policies_app.models import Api, Policy, PolicyAccess  # noqa: E402
from sessions_app.models import Key  # noqa: E402

ORGANISATION = "bench-keys"
NEW_KEY = {"org_id": ORGANISATION, "apply_policies": [ORGANISATION], "meta_data": {"plan": "x"}, "tags": ["bench"]}
KEYS = int(os.environ.get("BENCH_KEYS", "1000000"))
CREATED, SENDERS, BULK, PAGES = 1200, 4, 1000, 15


def main() -> Kept:
    call_command("migrate", interactive=False, verbosity=0)
    _fill()
    Organisation.objects.filter(pk=ORGANISATION).delete()
    _make_policy()
    try:
        with tempfile.NamedTemporaryFile() as log, _server(Path(log.name)) as url:
            return _measured(Gateway(url))
    finally:
        Organisation.objects.filter(pk=ORGANISATION).delete()


def _server(log: Path) -> AbstractContextManager[str]:
    return running_server(CONTROL, os.environ, log, "/healthz", {})


def _measured(gateway: "Gateway") -> Kept:
    _created_per_second(gateway, CREATED // 10)  # warms up
    return Kept(
        database=connection.vendor,
        keys=Key.objects.count(),
        created_per_second=_created_per_second(gateway, CREATED),
        statements=_statements(),
        bulk_seconds=_seconds(lambda: gateway.post("/api/v1/keys/bulk", {"keys": [NEW_KEY] * BULK})),
        first_page_ms=_page_ms(gateway, "/api/v1/keys"),
        last_page_ms=_page_ms(gateway, f"/api/v1/keys?cursor={_cursor_of_last_page()}"),
    )


class Gateway:
    """One connection for each thread, because a client's connections are not shared."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self._of_thread = threading.local()

    def post(self, path: str, body: Any) -> Any:
        return self._ask("POST", path, json.dumps(body))

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Authorization": f"Bearer {settings.GATEWAY_ADMIN_SECRET}", "Content-Type": "application/json"}
        self._of_thread.connection.request(method, path, body, headers)
        answer = self._of_thread.connection.getresponse()
        said = answer.read()
        assert answer.status in (200, 201), said
        return json.loads(said)


def _created_per_second(gateway: Gateway, count: int) -> float:
    def send() -> None:
        for _ in range(count // SENDERS):
            gateway.post("/api/v1/keys", NEW_KEY)

    before, begin = Key.objects.filter(organisation=ORGANISATION).count(), time.perf_counter()
    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    seconds = time.perf_counter() - begin
    made = Key.objects.filter(organisation=ORGANISATION).count() - before
    assert made == count // SENDERS * SENDERS, made
    return made / seconds


def _statements() -> int:
    """Of one creation, in this process; BEGIN and COMMIT count."""
    headers = {"Authorization": f"Bearer {settings.GATEWAY_ADMIN_SECRET}"}
    with CaptureQueriesContext(connection) as captured:
        answer = Client(headers=headers).post("/api/v1/keys", NEW_KEY, content_type="application/json")
    assert answer.status_code == 201, answer.content
    return len(captured)


def _page_ms(gateway: Gateway, path: str) -> float:
    assert gateway.get(path)["results"]
    return statistics.median(_seconds(lambda: gateway.get(path)) for _ in range(PAGES)) * 1000


def _seconds(act: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _cursor_of_last_page() -> str:
    """Fifty keys from the end of the list."""
    created_at, pk = Key.objects.order_by("created_at", "-pk").values_list("created_at", "pk")[50]
    place = json.dumps([False, [created_at.isoformat(), pk]])
    return quote(base64.urlsafe_b64encode(place.encode()).decode())


def _make_policy() -> None:
    organisation = Organisation.objects.create(id=ORGANISATION, name="Bench")
    api = Api.objects.create(id=ORGANISATION, organisation=organisation, name="Bench", listen_path="/bench-keys/")
    policy = Policy.objects.create(id=ORGANISATION, organisation=organisation, name="Bench", quota_max=1000)
    PolicyAccess.objects.create(policy=policy, api=api)


@transaction.atomic
def _fill() -> None:
    if Key.objects.count() >= KEYS:
        return
    for part in scale.parts(scale.scale_of(keys=KEYS, policies=max(50, KEYS // 100), hours=0, events=0)):
        part.fill(lambda _: None)
    scale.finish()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    print(json.dumps(asdict(main())))
