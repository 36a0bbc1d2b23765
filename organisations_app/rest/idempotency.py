"""`Idempotency-Key` on POST: a request that is sent again, because its answer was lost, gets the same answer.

The answer is kept in the transaction of what it tells of: there is never one without the other, and of two senders at
the same time the second waits for the first. Only answers of success are kept; a refused request changed nothing.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app import sealing
from organisations_app.models import GivenAnswer
from organisations_app.rest.authentication import sender_of
from organisations_app.rest.refusals import Conflict, OtherRequest
from organisations_app.secret_texts import keyed_digest

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
KEPT = timedelta(hours=24)
KEPT_HEADERS = ("ETag",)


def once(request: Request, handler: Callable[..., Response], *args: Any, **kwargs: Any) -> Response:
    """The handler's answer, or the one that it gave before. Raises OtherRequest, ValidationError, and as it does."""
    digest, request_digest = _digests(request)
    now = timezone.now()
    with transaction.atomic():
        GivenAnswer.objects.filter(created_at__lte=now - KEPT).delete()
        given, is_new = GivenAnswer.objects.get_or_create(pk=digest, defaults={"request_digest": request_digest})
        if not is_new:
            return _again(given, request_digest)
        response = handler(request, *args, **kwargs)
        _keep(given, response)
    return response


def _again(given: GivenAnswer, request_digest: str) -> Response:
    if given.request_digest != request_digest:
        raise OtherRequest
    try:
        body = sealing.unseal(given.body_sealed)
    except sealing.SealBroken:
        raise Conflict("It was done, but the answer can no longer be read: SECRET_KEY was changed.") from None
    headers = {**given.headers, "Idempotency-Replayed": "true"}
    return Response(json.loads(body) if body else None, status=given.status, headers=headers)


def _keep(given: GivenAnswer, response: Response) -> None:
    given.status = response.status_code
    given.headers = {name: response[name] for name in KEPT_HEADERS if name in response}
    given.body_sealed = sealing.seal(JSONRenderer().render(response.data).decode())
    given.save()


def _digests(request: Request) -> tuple[str, str]:
    """Of sender and key, and of the request."""
    key = request.headers[HEADER].strip()
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise ValidationError({HEADER: [f"must be a text of 1 to {LONGEST_KEY} printable characters"]})
    return _digest([sender_of(request), key]), _digest([request.get_full_path(), request.data])


def _digest(value: Any) -> str:
    """Keyed, because what is sent may hold a secret."""
    return keyed_digest(settings.GATEWAY_KEY_PEPPER, json.dumps(value, sort_keys=True, default=str))
