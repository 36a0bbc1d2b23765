"""Developers and what they build: made, changed and removed together with the logins that they are."""

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from organisations_app.models import Application, Developer

LOGIN_FIELDS = ("username", "email", "first_name", "last_name")


@transaction.atomic
def save_developer(developer: Developer, login: Mapping[str, str], password: str | None = None) -> None:
    """Creates or changes a developer and the login behind. `login` are LOGIN_FIELDS to be set; e-mail is the user name
    unless one is given. A new login without a password waits for a reset.

    Raises ValidationError with messages by field, also for an attempt on the login of a member of staff.
    """
    user = developer.user if developer.user_id else User()
    if user.pk and user.is_staff and (login or password):
        raise ValidationError({"username": "this login belongs to a member of staff; it is changed in the admin"})
    for name, value in login.items():
        setattr(user, name, value)
    user.username = user.username or user.email
    _set_password(user, password)
    user.full_clean(exclude=["password"])
    user.save()
    developer.user = user
    developer.full_clean()
    developer.save()


@transaction.atomic
def delete_developer(developer: Developer) -> None:
    """Deletes the developer with applications and login; keys stay, without application. Staff keep their login."""
    user = developer.user
    developer.delete()
    if not user.is_staff:
        user.delete()


def save_application(application: Application) -> None:
    """Creates or changes an application, in the organisation of its developer. Raises ValidationError."""
    application.organisation = application.developer.organisation
    application.full_clean()
    application.save()


def delete_application(application: Application) -> None:
    """Its keys stay, without application."""
    application.delete()


def _set_password(user: User, password: str | None) -> None:
    if password is None:
        if not user.pk:
            user.set_unusable_password()
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
    user.set_password(password)
