"""Who asks `/api/v1`, and for what: the bearer of a token, or a member of staff who is logged in to the admin."""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from organisations_app import audit
from organisations_app.admin_tokens import EVERYTHING, Reach, find_token, reach_of_staff
from organisations_app.audit import Actor
from organisations_app.tenancy import organisations_for

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
    """What a token was given, or what a member of staff may see and change in the admin."""
    return request.user.reach if isinstance(request.user, Bearer) else reach_of_staff(request.user)


def organisations_of(request: Request) -> Collection[str] | None:
    """The organisations that the sender is bound to; None is all."""
    if not isinstance(request.user, Bearer):
        return organisations_for(request.user)
    bound_to = request.user.reach.organisation_id
    return None if bound_to is None else frozenset({bound_to})


def actor_of(request: Request) -> Actor:
    """As the audit names who asks."""
    return request.user.actor if isinstance(request.user, Bearer) else Actor.person(request.user.get_username())


def sender_of(request: Request) -> str:
    """Who asks, so that no two are mistaken for each other: names of tokens are not unique."""
    return f"token:{request.user.token_id}" if isinstance(request.user, Bearer) else f"user:{request.user.pk}"


class MayUse(BasePermission):
    """A token may do what its scopes say: `<resource>:read` or `<resource>:write`. A session of the admin may read
    what its login may view there.
    """

    message = "A session of the admin may only read here; write with a token."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        is_reading = request.method in SAFE_METHODS or bool(getattr(view, "reads", ()))
        if request.method not in view.allowed_methods:
            return bool(request.user and request.user.is_staff)  # that the method is not allowed is said next
        is_token = isinstance(request.user, Bearer)
        if not is_token and not (request.user and request.user.is_staff and is_reading):
            return False
        allowed = reach_of(request).scopes
        lacking = [scope for scope in _scopes(request, view) if scope not in allowed]
        self.message = f"This {'token' if is_token else 'login'} lacks the scope {', '.join(lacking)}."
        return not lacking


def _scopes(request: Request, view: "APIView") -> tuple[str, ...]:
    """What a token needs for this. Some operations read although they are a POST: the view names their scopes."""
    if reading := getattr(view, "reads", ()):
        return tuple(f"{resource}:read" for resource in reading)
    resource = getattr(view, "scope", "")
    return (f"{resource}:{'read' if request.method in SAFE_METHODS else 'write'}",) if resource else ()
