"""How a letter leaves the house: webhooks over HTTP, e-mails over Django's mail backend.

One verb, `send`, and one exception. Nothing here reads or writes the database.
"""

import smtplib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from monitors_app import network
from monitors_app.guard import guarded_sockets
from monitors_app.lookups import Resolver
from sessions_app.edge.bodiless import tolerant_connector

TOTAL_SECONDS = 10
CONNECT_SECONDS = 5
MAX_BODY_BYTES = 4096
# Read beyond what is kept, so that a secret cut in two at the end is not kept in part.
BODY_MARGIN_BYTES = 2048
SMTP_PERMANENT = range(500, 600)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One signed HTTP request, ready to go. Header names are unique without regard to case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Email:
    """One e-mail in text and HTML, ready to go."""

    to: str
    subject: str
    text: str
    html: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said. `body` holds what was read of it; `is_cut` says that there was more.

    E-mails have none of this.
    """

    status_code: int | None = None
    body: str = ""
    is_cut: bool = False
    retry_after: str = ""


class TransportError(Exception):
    """The letter was not taken. `permanent`: trying again is useless.

    `answer`: what the receiver said, if it said anything.
    """

    def __init__(self, message: str, *, permanent: bool = False, answer: Answer | None = None) -> None:
        super().__init__(message)
        self.message, self.permanent, self.answer = message, permanent, answer or Answer()


def send(letter: Webhook | Email) -> Answer:
    """Sends one letter, once. Returns when the receiver took it; raises TransportError when it did not."""
    if isinstance(letter, Email):
        return _send_email(letter)
    return network.start(post(letter)).result()


async def post(webhook: Webhook) -> Answer:
    """Sends one webhook, once; as `send`, for those who send several at a time."""
    answer = await _send_webhook(webhook)
    status_code = answer.status_code or 0
    if 200 <= status_code < 300:
        return answer
    raise TransportError(_explanation(status_code), permanent=status_code == 410, answer=answer)


def _explanation(status_code: int) -> str:
    if status_code == 410:
        return "The receiver answered 410 Gone: it wants no more webhooks."
    if 300 <= status_code < 400:
        return f"The receiver answered {status_code}: redirects are not followed."
    return f"The receiver answered {status_code}; only 2xx counts as delivered."


# --- webhooks ---------------------------------------------------------------------------------------------------------


async def _send_webhook(webhook: Webhook) -> Answer:
    """No redirects, no proxies from the environment, no cookies; the address is checked when it is connected to (rule
    7.11).
    """
    connector = tolerant_connector(
        resolver=Resolver(),
        socket_factory=guarded_sockets(settings.GATEWAY_WEBHOOK_ALLOWED_NETS),
        force_close=True,
        use_dns_cache=False,
    )
    timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
    try:
        async with (
            session,
            session.request(
                webhook.method, webhook.url, data=webhook.body, headers=webhook.headers, allow_redirects=False
            ) as response,
        ):
            body, is_cut = await _read_body(response)
            return Answer(response.status, body, is_cut, response.headers.get("Retry-After", ""))
    except TimeoutError as error:
        connecting = isinstance(error, aiohttp.ConnectionTimeoutError)
        limit = (
            f"connecting took more than {CONNECT_SECONDS} s" if connecting else f"no answer within {TOTAL_SECONDS} s"
        )
        raise TransportError(f"Timed out: {limit}.") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise TransportError(f"Could not reach the receiver: {_reason(error)}") from None


async def _read_body(response: aiohttp.ClientResponse) -> tuple[str, bool]:
    """What the receiver had to say, as far as it is of interest.

    The status line alone decides: a body that fails is a short body.
    """
    chunks, wanted = [], MAX_BODY_BYTES + BODY_MARGIN_BYTES
    try:
        while wanted > 0 and (chunk := await response.content.read(wanted)):
            chunks.append(chunk)
            wanted -= len(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    return b"".join(chunks).decode("utf-8", "replace"), wanted <= 0


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    if isinstance(cause, socket.gaierror):
        return "its host name does not resolve"
    if isinstance(cause, ConnectionRefusedError):
        return "it refused the connection"
    return str(cause.strerror if isinstance(cause, OSError) and cause.strerror else cause) or type(error).__name__


def without_secrets(answer: Answer, secrets: Sequence[str], replacement: str) -> str:
    """The answer's body as it may be stored: at most 4 kB, no NUL, and no secret that the receiver echoed."""
    text = answer.body.replace("\x00", "\ufffd")
    for secret in secrets:
        text = text.replace(secret, replacement)
    keep = len(text) - BODY_MARGIN_BYTES if answer.is_cut else len(text)
    return text.encode()[:MAX_BODY_BYTES].decode("utf-8", "ignore")[: max(0, keep)]


# --- e-mail -----------------------------------------------------------------------------------------------------------


def _send_email(email: Email) -> Answer:
    message = EmailMultiAlternatives(
        email.subject, email.text, settings.DEFAULT_FROM_EMAIL, [email.to], headers=dict(email.headers)
    )
    if email.html:
        message.attach_alternative(email.html, "text/html")
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        refused_for_good = all(code in SMTP_PERMANENT for code in codes)
        raise TransportError(
            "The mail server refused the recipient.", permanent=refused_for_good, answer=_smtp(codes[0])
        ) from None
    except smtplib.SMTPResponseException as error:
        message_text = f"The mail server answered {error.smtp_code}."
        raise TransportError(message_text, answer=_smtp(error.smtp_code)) from None
    except (smtplib.SMTPException, OSError) as error:
        raise TransportError(f"Could not reach the mail server: {_reason(error)}") from None
    except ValueError as error:
        raise TransportError(f"The e-mail cannot be written: {error}", permanent=True) from None
    return Answer()


def _smtp(code: int) -> Answer:
    return Answer(status_code=code if 0 < code < 1000 else None)
