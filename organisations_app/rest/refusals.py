"""Refusals of `/api/v1` that DRF has no exception for."""

from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    """The request is right, but what it is about stands against it."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class Changed(APIException):
    """What is to be changed is not any more what the sender has seen (`If-Match`)."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = "It was changed meanwhile; nothing was done. Read it again and send the change with its new ETag."


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class OtherRequest(APIException):
    """An `Idempotency-Key` came with another request before."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key came with another request before; take a new one for a new request."


class TooSoon(APIException):
    """The same was asked for a moment ago; `wait` are seconds."""

    status_code = status.HTTP_429_TOO_MANY_REQUESTS
    default_code = "throttled"

    def __init__(self, detail: str, wait: int) -> None:
        super().__init__(detail)
        self.wait = wait


class Unavailable(APIException):
    """Something that the gateway needs does not answer; `detail` says what was not done."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
