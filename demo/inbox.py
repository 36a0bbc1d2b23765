"""What arrived in the demo: webhooks kept as files, and the e-mails that Django's file backend wrote. Newest first.

Files, not tables: the inbox is a stranger to the gateway, and must not touch its database.
"""

import email
import email.policy
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from django.conf import settings

KEPT = 200
SEPARATOR = b"-" * 79  # between messages, as Django's file backend writes them


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request that the inbox accepted. `body` is pretty where it is JSON."""

    id: str
    at: datetime
    title: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str
    kind: str = "webhook"


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail of the outbox."""

    id: str
    at: datetime
    title: str
    sender: str
    recipient: str
    text: str
    html: str
    kind: str = "mail"


Message = Webhook | Mail


def webhook_folder() -> Path:
    folder: Path = settings.GATEWAY_VAR_DIR / "demo" / "inbox"
    return folder


def mail_folder() -> Path | None:
    """None when e-mails go elsewhere, to a real server say."""
    return Path(settings.EMAIL_FILE_PATH) if settings.EMAIL_FILE_PATH else None


def keep_webhook(method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes) -> None:
    """Writes one webhook for its owner's eyes only (it holds a raw key) and forgets the oldest ones."""
    folder = webhook_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {"method": method, "path": path, "headers": list(headers), "body": body.decode(errors="replace")}
    name = f"{time.time_ns()}-{secrets.token_hex(4)}"
    draft = folder / f".{name}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)
    draft.rename(folder / f"{name}.json")
    for old in sorted(folder.glob("*.json"))[:-KEPT]:
        old.unlink(missing_ok=True)


def newest() -> int:
    """A cursor: when the latest message arrived, in nanoseconds; 0 for an empty inbox."""
    return max((arrived for arrived, _ in _files()), default=0)


def messages(after: int, until: int) -> list[Message]:
    """Messages between two cursors, newest first, at most `KEPT`. What arrives meanwhile is left for the next look."""
    files = sorted(((arrived, path) for arrived, path in _files() if after < arrived <= until), reverse=True)[:KEPT]
    return [message for arrived, path in files for message in _read(path, arrived)]


def find_mail(message_id: str) -> Mail | None:
    """The e-mail with this id. The id is compared with what is there, and never becomes a path."""
    for arrived, path in _files():
        if message_id.startswith(path.stem):
            return next((mail for mail in _mails(path, arrived) if mail.id == message_id), None)
    return None


def _files() -> Iterator[tuple[int, Path]]:
    """(arrival in ns, path) of each file: its ctime, which renaming sets, so that none appears in the past."""
    for folder, pattern in ((webhook_folder(), "*.json"), (mail_folder(), "*.log")):
        if folder is None:
            continue
        for path in folder.glob(pattern):
            try:
                yield path.stat().st_ctime_ns, path
            except FileNotFoundError:
                continue


def _read(path: Path, arrived: int) -> Iterable[Message]:
    return _mails(path, arrived) if path.suffix == ".log" else _webhooks(path, arrived)


def _webhooks(path: Path, arrived: int) -> Iterable[Webhook]:
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    title, body = _describe(kept["method"], kept["body"])
    headers = tuple((name, value) for name, value in kept["headers"])
    yield Webhook(path.stem, _moment(arrived), title, kept["method"], kept["path"], headers, body)


def _describe(method: str, body: str) -> tuple[str, str]:
    """A title for people and the body, pretty if it is JSON."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return f"{method} webhook", body
    title = f"{method} webhook"
    if isinstance(document, dict) and "trigger_limit" in document:
        title = f"{document.get('message') or 'Threshold reached'}: {document['trigger_limit']} %"
    return title, json.dumps(document, indent=2, ensure_ascii=False)


def _mails(path: Path, arrived: int) -> Iterable[Mail]:
    try:
        written = path.read_bytes()
    except OSError:
        return
    complete = written.split(SEPARATOR + b"\n")[:-1]  # what follows the last separator is still being written
    for number, part in reversed(list(enumerate(complete))):
        yield _mail(f"{path.stem}-{number}", arrived, part)


def _mail(message_id: str, arrived: int, written: bytes) -> Mail:
    message = email.message_from_bytes(written.lstrip(), _class=EmailMessage, policy=email.policy.default)
    return Mail(
        id=message_id,
        at=_moment(arrived),
        title=str(message["subject"] or "(no subject)"),
        sender=str(message["from"] or ""),
        recipient=str(message["to"] or ""),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if isinstance(part, EmailMessage) else ""


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
