"""The same request twice at the same time, from processes of their own: it acts once, and both get the one answer."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway_project.environment import BASE_DIR
from organisations_app.models import AuditEntry, GivenAnswer
from policies_app.models import Api
from sessions_app.models import Key
from tests.administration import SECRET
from tests.factories import AcmeFactory
from tests.sessions_app.edge.conftest import database_url

SENDERS = 4
SENDER = """
import sys, time, json, django
django.setup()
from pathlib import Path
from django.db import connection
from django.test import Client

client = Client(SERVER_NAME="localhost", headers={"Authorization": f"Bearer {sys.argv[2]}", "Idempotency-Key": "once"})
connection.ensure_connection()
client.get("/api/v1/keys")
print("ready", flush=True)
while not Path(sys.argv[1]).exists():
    time.sleep(0.001)
answer = client.post("/api/v1/keys", {"org_id": "acme", "access_rights": {"a": {}}}, content_type="application/json")
print(json.dumps([answer.status_code, answer.json(), answer.headers.get("Idempotency-Replayed", "")]))
"""


@pytest.fixture
def senders(tmp_path: Path, store: Any) -> Iterator[list[subprocess.Popen[str]]]:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
        "GATEWAY_ADMIN_SECRET": SECRET,
        "GATEWAY_DEMO": "0",
    }
    command = [sys.executable, "-W", "ignore", "-c", SENDER, str(tmp_path / "go"), SECRET]
    with ExitStack() as leaving:
        started = []
        for _ in range(SENDERS):
            sender = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, text=True)
            started.append(leaving.enter_context(sender))  # closes its pipe and waits for it
            leaving.callback(sender.kill)  # comes first
        yield started


@pytest.mark.django_db(transaction=True)
def test_one_key_is_made_and_all_senders_get_it(senders: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    Api.objects.create(id="a", organisation=AcmeFactory.create(), name="A", listen_path="/a/")
    for process in senders:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    (tmp_path / "go").touch()
    answers = [json.loads(process.communicate(timeout=60)[0].splitlines()[-1]) for process in senders]
    assert [status for status, _, _ in answers] == [201] * SENDERS
    assert len({document["key"] for _, document, _ in answers}) == 1
    assert sorted(replayed for _, _, replayed in answers) == ["", *["true"] * (SENDERS - 1)]
    assert (Key.objects.count(), GivenAnswer.objects.count()) == (1, 1)
    assert AuditEntry.objects.filter(action="create", subject_kind="key").count() == 1
