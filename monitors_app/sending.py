"""One attempt: from a claimed delivery to what its receiver said. Neither reads nor writes the database."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

from monitors_app import emails, transports, webhooks
from monitors_app.attempts import Result
from monitors_app.models import Delivery
from monitors_app.transports import Answer, Email, TransportError, Webhook
from organisations_app.sealing import SealBroken

HIDDEN = "[hidden]"


def send(delivery: Delivery, *others: Delivery) -> Result:
    """Sends a delivery over its channel, with the others of its digest. Never raises for what a receiver does."""
    with _attempt() as attempt:
        attempt.answer = transports.send(_letter(attempt.started_at, delivery, *others))
    return attempt.result(delivery)


async def post(delivery: Delivery) -> Result:
    """Sends a webhook, as `send`, on the event loop."""
    with _attempt() as attempt:
        attempt.answer = await transports.post(_webhook(attempt.started_at, delivery))
    return attempt.result(delivery)


@dataclass(slots=True)
class _Attempt:
    started_at: datetime = field(default_factory=lambda: timezone.now())
    clock: float = field(default_factory=time.monotonic)
    answer: Answer = field(default_factory=Answer)
    error: TransportError | None = None

    def result(self, delivery: Delivery) -> Result:
        return Result(
            started_at=self.started_at,
            duration_ms=round((time.monotonic() - self.clock) * 1000),
            status_code=self.answer.status_code,
            error=self.error.message if self.error else "",
            permanent=self.error.permanent if self.error else False,
            retry_after=self.answer.retry_after,
            response_body=_storable(delivery, self.answer),
        )


@contextmanager
def _attempt() -> Iterator[_Attempt]:
    attempt = _Attempt()
    try:
        yield attempt
    except TransportError as failure:
        attempt.error, attempt.answer = failure, failure.answer


def _letter(now: datetime, delivery: Delivery, *others: Delivery) -> Webhook | Email:
    if delivery.channel == Delivery.Channel.WEBHOOK:
        return _webhook(now, delivery)
    if delivery.is_notice:
        return emails.notice_of(delivery)
    return emails.digest_of([delivery, *others]) if others else emails.email_of(delivery)


def _webhook(now: datetime, delivery: Delivery) -> Webhook:
    try:
        return webhooks.webhook_of(delivery, now)
    except SealBroken as error:
        raise TransportError(f"The monitor's secrets cannot be read: {error}") from None


def _storable(delivery: Delivery, answer: Answer) -> str:
    return transports.without_secrets(answer, webhooks.secrets_of(delivery), HIDDEN) if answer.body else ""
