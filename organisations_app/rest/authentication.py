"""Who asks `/api/v1`: the bearer of the root token, or a member of staff who is logged in to the admin."""

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

if TYPE_CHECKING:  # DRF's views are being imported when they ask for these classes
    from rest_framework.views import APIView

SCHEME = "Bearer"


@dataclass(frozen=True, slots=True)
class Bearer:
    """The holder of a token. It has no account; `name` is what the log says of it."""

    name: str
    is_authenticated: bool = True
    is_staff: bool = True


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`. `GATEWAY_ADMIN_SECRET` is the root token; unset, there is none."""

    def authenticate(self, request: Request) -> tuple[Bearer, str] | None:
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != SCHEME.lower().encode():
            return None
        secret = settings.GATEWAY_ADMIN_SECRET.encode()
        if not secret or not hmac.compare_digest(secret, token.strip()):
            raise AuthenticationFailed("This token is not known.")
        return Bearer("root"), "root"

    def authenticate_header(self, request: Request) -> str:
        return f'{SCHEME} realm="Tollgate"'


class IsAdministrator(BasePermission):
    """Tokens may do what they are for; a staff session may look."""

    message = "A session of the admin may only read here; write with a token."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if isinstance(request.user, Bearer):
            return True
        return bool(request.user and request.user.is_staff) and request.method in SAFE_METHODS
