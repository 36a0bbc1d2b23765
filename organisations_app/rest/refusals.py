"""Refusals of `/api/v1` that DRF has no exception for."""

from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    """The request is right, but what it is about stands against it."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class Unavailable(APIException):
    """Something that the gateway needs does not answer; `detail` says what was not done."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "unavailable"
