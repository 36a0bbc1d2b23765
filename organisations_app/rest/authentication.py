"""Who asks `/api/v1`, and for what: the bearer of a token, or a member of staff who is logged in to the admin."""

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from organisations_app import audit
from organisations_app.admin_tokens import EVERYTHING, Reach, find_token
from organisations_app.audit import Actor

if TYPE_CHECKING:  # DRF's views are being imported when they ask for these classes
    from rest_framework.views import APIView

SCHEME = "Bearer"


@dataclass(frozen=True, slots=True)
class Bearer:
    """The holder of a token. It has no account; the audit calls it `actor`. `token_id` is empty for the root token."""

    actor: Actor
    reach: Reach
    token_id: str = ""
    is_authenticated: bool = True
    is_staff: bool = True


ROOT = Bearer(audit.ROOT, EVERYTHING)


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`. `GATEWAY_ADMIN_SECRET` is the root token; unset, there is none."""

    def authenticate(self, request: Request) -> tuple[Bearer, None] | None:
        scheme, _, text = get_authorization_header(request).partition(b" ")
        if scheme.lower() != SCHEME.lower().encode():
            return None
        return _bearer(text.strip()), None

    def authenticate_header(self, request: Request) -> str:
        return f'{SCHEME} realm="Tollgate"'


def _bearer(text: bytes) -> Bearer:
    """Raises AuthenticationFailed."""
    secret = settings.GATEWAY_ADMIN_SECRET.encode()
    if secret and hmac.compare_digest(secret, text):
        return ROOT
    token = find_token(text.decode("ascii", "replace"))
    if token is None:
        raise AuthenticationFailed("This token is not known, or it has expired.")
    reach = Reach(frozenset(token.scopes), token.organisation_id, token.expires_at)
    return Bearer(Actor.token(token.name), reach, str(token.pk))


def reach_of(request: Request) -> Reach:
    """A staff session sees all organisations."""
    return request.user.reach if isinstance(request.user, Bearer) else EVERYTHING


def actor_of(request: Request) -> Actor:
    """As the audit names who asks."""
    return request.user.actor if isinstance(request.user, Bearer) else Actor.person(request.user.get_username())


def sender_of(request: Request) -> str:
    """Who asks, so that no two are mistaken for each other: names of tokens are not unique."""
    return f"token:{request.user.token_id}" if isinstance(request.user, Bearer) else f"user:{request.user.pk}"


class MayUse(BasePermission):
    """A token may do what its scopes say: `<resource>:read` or `<resource>:write`. A staff session may look."""

    message = "A session of the admin may only read here; write with a token."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        is_reading = request.method in SAFE_METHODS
        if request.method not in view.allowed_methods:
            return bool(request.user and request.user.is_staff)  # that the method is not allowed is said next
        if not isinstance(request.user, Bearer):
            return bool(request.user and request.user.is_staff) and is_reading
        resource = getattr(view, "scope", "")
        needed = f"{resource}:{'read' if is_reading else 'write'}"
        self.message = f"This token lacks the scope {needed}."
        return not resource or needed in request.user.reach.scopes
