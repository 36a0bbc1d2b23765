"""`docs/api.md` is true: its examples are what the application answers, its Python runs, no operation is missing.

`REWRITE_DOCS=1 pytest tests/test_api_document.py` writes the examples anew after the API has changed.
"""

import ast
import os
import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application

from monitors_app.api import monitors
from monitors_app.models import Attempt
from organisations_app.admin_tokens import READ_ONLY, WRITABLE
from sessions_app.models import UsageHour
from tests.administration import SECRET
from tests.api_examples import BASE, chapter, examples
from tests.api_operations import OPERATIONS, objects

pytestmark = [pytest.mark.django_db(transaction=True, reset_sequences=True), pytest.mark.usefixtures("store")]
DOCUMENT = Path(__file__).parents[1] / "docs" / "api.md"
BEGIN, END = "<!-- examples: written by tests/test_api_document.py -->", "<!-- end of examples -->"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


@pytest.fixture
def transport(settings, monkeypatch) -> httpx2.BaseTransport:
    settings.ALLOWED_HOSTS = ["gateway.example"]
    for signal in (request_started, request_finished):  # the test's transaction outlives its requests
        monkeypatch.setattr(signal, "receivers", [])
    return httpx2.WSGITransport(app=get_wsgi_application())


@pytest.fixture
def ids(rest, monkeypatch) -> dict[str, Any]:
    """One object of each resource, with an hour of usage; a receiver that takes the test of a monitor."""
    made = objects(rest)
    hour = datetime(2025, 1, 1, 8, tzinfo=UTC)
    UsageHour.objects.create(
        organisation_id="acme", key_id=made["keys"], api_id="orders", hour=hour, passed=940, denied=12
    )
    taken = Attempt(number=1, started_at=hour, duration_ms=87, status_code=200, response_body="ok")
    monkeypatch.setattr(monitors, "send_test", lambda monitor: taken)
    return made


def test_the_examples_are_what_the_application_answers(ids, transport):
    client = httpx2.Client(base_url=BASE, headers={"Authorization": f"Bearer {SECRET}"}, transport=transport)
    written = chapter(list(examples(client, ids)))
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    stands, _, after = rest.partition(END)
    if os.environ.get("REWRITE_DOCS"):
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{written}\n\n{END}{after}")
        return
    assert stands.strip() == written, "REWRITE_DOCS=1 pytest tests/test_api_document.py writes the examples anew"


def test_every_operation_has_an_example():
    text = DOCUMENT.read_text()
    assert len(OPERATIONS) > 60
    assert [each for each in OPERATIONS if f"#### `{each.method} {each.path}`\n" not in text] == []


def test_the_python_of_the_examples_can_be_read():
    blocks = PYTHON.findall(DOCUMENT.read_text().partition(BEGIN)[2])
    assert len(blocks) == len(OPERATIONS)
    for block in blocks:
        names = {node.id for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Name)}
        assert names == {"api"}, block  # no true, false or null of JSON


def test_the_python_of_the_guide_runs(ids, transport, monkeypatch):
    """All blocks before the examples, one after the other, with the root token and against this application."""
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setattr(httpx2, "Client", partial(httpx2.Client, transport=transport))
    blocks = PYTHON.findall(DOCUMENT.read_text().partition(BEGIN)[0])
    assert len(blocks) >= 3
    names: dict[str, Any] = {"key_id": ids["keys"]}
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)


def test_it_names_every_resource_that_a_token_may_be_scoped_to():
    text = DOCUMENT.read_text()
    assert [resource for resource in (*WRITABLE, *READ_ONLY) if f"`{resource}`" not in text] == []
