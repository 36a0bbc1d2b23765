"""The main job, end to end, with every real process: a key is enforced, a threshold is told, and nothing is
forgotten.
"""

import email
import email.policy
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from gateway_project.store import free_port
from tests.whole_gateway import Up, wait_for

pytestmark = pytest.mark.journey
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    gateway = Up(tmp_path / "var", free_port(), demo=True)
    yield gateway
    gateway.stop()


def call(up: Up, path: str, key: str = "") -> tuple[int, dict[str, str], Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{up.port}{path}", headers={"Authorization": key} if key else {})
    try:
        answer = OPENER.open(request, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, json.loads(answer.read())


def free_key(up: Up) -> str:
    return str(json.loads((up.var_dir / "demo.json").read_text())["free_key"])


def webhooks(up: Up) -> list[dict[str, str]]:
    return [
        json.loads(json.loads(file.read_text())["body"])
        for file in sorted((up.var_dir / "demo" / "inbox").glob("*.json"))
    ]


def mails(up: Up) -> list[EmailMessage]:
    found = []
    for file in sorted((up.var_dir / "outbox").glob("*.log")):
        for part in file.read_bytes().split(b"\n" + b"-" * 79 + b"\n"):
            if part.strip():
                found.append(email.message_from_bytes(part, policy=email.policy.default))
    return found


def test_the_eleventh_request_is_denied_and_both_thresholds_are_told_once(up):
    up.wait_ready()
    key = free_key(up)
    answers = []
    for _ in range(11):
        answers.append(call(up, "/echo/hello", key))
        time.sleep(0.25)  # the Free plan allows 5 requests a second
    assert [status for status, _, _ in answers] == [200] * 10 + [429]
    _, headers, body = answers[0]
    assert body["path"].endswith("/hello")
    assert headers["x-ratelimit-remaining"] == "9" and '"key-quota";q=10;w=60' in headers["ratelimit-policy"]
    _, headers, problem = answers[-1]
    assert headers["content-type"] == "application/problem+json" and 1 <= int(headers["retry-after"]) <= 60
    assert (problem["code"], problem["violated-policies"]) == ("quota_exceeded", ["key-quota"])

    wait_for(lambda: len(webhooks(up)) >= 2 and len(mails(up)) >= 2, 20)
    time.sleep(1.5)  # nothing more may come
    assert [(each["trigger_limit"], each["key"], each["org"]) for each in webhooks(up)] == [
        ("50", key, "acme"),
        ("80", key, "acme"),
    ]
    assert sorted(str(mail["To"]) for mail in mails(up)) == ["developer@acme.example"] * 2
    assert not any(key in mail.as_string() for mail in mails(up))


def test_usage_thresholds_and_keys_survive_a_restart(up):
    up.wait_ready()
    key = free_key(up)
    for _ in range(5):
        assert call(up, "/echo/", key)[0] == 200
        time.sleep(0.25)
    wait_for(lambda: len(webhooks(up)) == 1, 20)
    up.stop()
    again = Up(up.var_dir, up.port, demo=True)
    try:
        again.wait_ready()
        assert free_key(again) == key
        status, headers, _ = call(again, "/echo/", key)
        assert (status, headers["x-ratelimit-remaining"]) == (200, "4")
        assert [each["trigger_limit"] for each in webhooks(again)] == ["50"]
    finally:
        again.stop()
