"""The demo's upstream and inbox, asked as an ASGI server asks."""

import json
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.filebased import EmailBackend

from demo import inbox
from demo.asgi import MAX_BODY_BYTES, application


@pytest.fixture(autouse=True)
def folders(settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_VAR_DIR = tmp_path
    settings.EMAIL_FILE_PATH = str(tmp_path / "outbox")
    settings.ALLOWED_HOSTS = ["127.0.0.1"]


class Answer:
    def __init__(self, messages: list[Any]) -> None:
        self.status = messages[0]["status"]
        self.headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(path: str, method: str = "GET", body: bytes = b"", **scope: Any) -> Answer:
    path, _, query = path.partition("?")
    pieces = [body[start : start + 2**18] for start in range(0, len(body), 2**18)] or [b""]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    request = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
    request |= {"headers": [(b"host", b"127.0.0.1:8000"), (b"X-Team", b"billing")], "client": ("127.0.0.1", 1), **scope}
    async_to_sync(application)(request, receive, send)
    return Answer(sent)


def write_mail(subject: str = "80 % used", html: str = "<h1>Nearly spent</h1>") -> None:
    mail = EmailMultiAlternatives(subject, "Nearly spent: größer", "gate@acme.example", ["dora@acme.example"])
    mail.attach_alternative(html, "text/html")
    EmailBackend().send_messages([mail])


# --- upstream ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "inner"), [("/demo/upstream", "/"), ("/demo/upstream/orders/1", "/orders/1")])
def test_the_upstream_echoes_the_request(path: str, inner: str) -> None:
    answer = ask(f"{path}?a=1&b=ü", "PUT", "größer".encode())
    assert json.loads(answer.body) == {
        "method": "PUT",
        "path": inner,
        "query": "a=1&b=Ã¼",
        "headers": {"host": "127.0.0.1:8000", "x-team": "billing"},
        "body": "größer",
    }
    assert answer.headers["content-length"] == str(len(answer.body))


def test_a_head_request_has_no_body() -> None:
    assert ask("/demo/upstream/", "HEAD").body == b""
    assert ask("/demo/inbox/", "HEAD").body == b""


# --- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "client", [("192.0.2.1", 1), ("::2", 1), ("10.0.0.1", 1), ("::ffff:192.0.2.1", 1), None], ids=str
)
@pytest.mark.parametrize("path", ["/demo/inbox/", "/demo/upstream/"])
def test_other_machines_are_refused(client: Any, path: str) -> None:
    assert ask(path, client=client).status == 403
    assert ask(path, "POST", b"{}", client=client).status == 403
    assert inbox.newest() == 0


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_served(client: str) -> None:
    assert ask("/demo/inbox/", client=(client, 1)).status == 200


def test_another_host_name_is_refused() -> None:
    assert ask("/demo/inbox/", headers=[(b"host", b"evil.example")]).status == 403
    assert ask("/demo/inbox/", headers=[]).status == 403


def test_other_paths_are_not_there() -> None:
    for path in ("/demo/", "/demo/inboxes", "/demo/inbox/other", "/demo/inbox/mail/nothing"):
        assert ask(path).status == 404


# --- inbox ------------------------------------------------------------------------------------------------------------


def test_an_empty_inbox_says_what_to_do() -> None:
    assert "Nothing has arrived yet" in ask("/demo/inbox/").text


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_webhooks_are_accepted_and_shown_newest_first(method: str) -> None:
    for limit in ("50", "80"):
        body = json.dumps({"message": "Quota trigger reached", "key": "<b>", "trigger_limit": limit}).encode()
        assert ask("/demo/inbox/", method, body).status == 204
    html = ask("/demo/inbox/").text
    assert html.index("reached: 80 %") < html.index("reached: 50 %")
    assert "x-team" in html and "billing" in html and method in html
    assert "&quot;key&quot;: &quot;&lt;b&gt;&quot;" in html and "<b>" not in html


def test_a_body_that_is_no_json_is_shown_as_it_is_and_never_too_long() -> None:
    ask("/demo/inbox/any/path", "POST", b"x" * (MAX_BODY_BYTES + 5))
    [message] = inbox.messages(0, inbox.newest())
    assert isinstance(message, inbox.Webhook)
    assert (message.title, message.path, len(message.body)) == ("POST webhook", "/demo/inbox/any/path", MAX_BODY_BYTES)


def test_only_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "KEPT", 3)
    for number in range(5):
        inbox.keep_webhook("POST", "/", [], f'{{"trigger_limit": "{number}"}}'.encode())
    titles = [message.title for message in inbox.messages(0, inbox.newest())]
    assert titles == [f"Threshold reached: {number} %" for number in (4, 3, 2)]


def test_e_mails_are_shown_with_their_html_locked_in() -> None:
    write_mail()
    [mail] = inbox.messages(0, inbox.newest())
    assert isinstance(mail, inbox.Mail) and (mail.title, mail.recipient) == ("80 % used", "dora@acme.example")
    assert "größer" in mail.text
    html = ask("/demo/inbox/").text
    assert f'src="/demo/inbox/mail/{mail.id}"' in html and 'sandbox=""' in html and "<h1>Nearly spent" not in html
    preview = ask(f"/demo/inbox/mail/{mail.id}")
    assert "<h1>Nearly spent</h1>" in preview.text
    assert preview.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_an_e_mail_that_is_still_being_written_waits(tmp_path: Path) -> None:
    write_mail()
    [path] = (tmp_path / "outbox").glob("*.log")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    assert inbox.messages(0, inbox.newest()) == []
    path.write_bytes(whole)
    assert len(inbox.messages(0, inbox.newest())) == 1


def test_the_page_fetches_only_what_is_new() -> None:
    inbox.keep_webhook("POST", "/", [], b'{"trigger_limit": "50"}')
    cursor = inbox.newest()
    assert f"/demo/inbox/new?after={cursor}" in ask("/demo/inbox/").text
    assert ask(f"/demo/inbox/new?after={cursor}").status == 204
    inbox.keep_webhook("POST", "/", [], b'{"trigger_limit": "80"}')
    news = ask(f"/demo/inbox/new?after={cursor}").text
    assert "reached: 80 %" in news and "reached: 50 %" not in news
    assert f"/demo/inbox/new?after={inbox.newest()}" in news
    assert ask("/demo/inbox/new?after=x").status == 400


def test_a_broken_file_does_not_break_the_page() -> None:
    inbox.keep_webhook("POST", "/", [], b"{}")
    (inbox.webhook_folder() / "broken.json").write_text("{")
    assert ask("/demo/inbox/").text.count('class="card message"') == 1


def test_works_when_e_mails_go_to_a_real_server(settings: Any) -> None:
    settings.EMAIL_FILE_PATH = None
    assert ask("/demo/inbox/").status == 200
