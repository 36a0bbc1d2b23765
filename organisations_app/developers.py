"""Developers and what they build: made, changed and removed together with the logins that they are."""

from collections.abc import Mapping

from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from organisations_app import erasure
from organisations_app.audit import Actor
from organisations_app.models import Application, Developer, Job
from organisations_app.organisations import check_open

ERASE = "erase-developer"
LOGIN_FIELDS = ("username", "email", "first_name", "last_name")


@transaction.atomic
def save_developer(developer: Developer, login: Mapping[str, str], password: str | None = None) -> None:
    """Creates or changes a developer and the login behind. `login` are LOGIN_FIELDS to be set; e-mail is the user name
    unless one is given. A new login without a password waits for a reset.

    Raises ValidationError with messages by field, also for an attempt on the login of a member of staff, and for a
    developer who is being deleted.
    """
    if erasure.is_being_erased(ERASE, developer.pk):
        raise ValidationError(f"{developer} is being deleted, and cannot be changed any more.")
    user = developer.user if developer.user_id else User()
    if user.pk and user.is_staff and (login or password):
        raise ValidationError({"username": "this login belongs to a member of staff; it is changed in the admin"})
    for name, value in login.items():
        setattr(user, name, value)
    user.username = user.username or user.email
    _set_password(user, password)
    _check_login(user)
    user.save()
    developer.user = user
    check_open(developer)
    developer.full_clean()
    developer.save()


def _check_login(user: User) -> None:
    """What is wrong with a user name that is the e-mail address is said of the address. Raises ValidationError."""
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        told = error.error_dict
        if user.username == user.email and "username" in told:
            told.setdefault("email", []).extend(told.pop("username"))
        raise


@transaction.atomic
def delete_developer(developer: Developer, by: Actor, reason: str = "") -> Job | None:
    """Deletes the developer with applications and login; keys stay, without application. Staff keep their login.

    Of one who was sent more e-mails than a request can erase the login is locked at once, and a job, which is answered
    unless there is one already, erases the rest.
    """
    locked = Developer.objects.select_for_update().filter(pk=developer.pk).first()
    if locked is None or not erasure.owns_much(locked):
        developer.delete()
        _delete_login(developer.user_id)
        return None
    _customers().filter(pk=developer.user_id).update(is_active=False)
    return erasure.erase_later(ERASE, developer, by, reason, login=developer.user_id)


@transaction.atomic
def delete_login(user: User, by: Actor, reason: str = "") -> Job | None:
    """Deletes a login with the developer that it is of, if any; answers as delete_developer. Of a member of staff the
    powers go first: nothing of it works any more, also while a job is at it.
    """
    User.objects.filter(pk=user.pk).update(is_staff=False, is_superuser=False)
    developer = Developer.objects.filter(user=user.pk).first()
    if developer is not None:
        return delete_developer(developer, by, reason)
    _delete_login(user.pk)
    return None


def register_erasure() -> None:
    erasure.register(ERASE, "Developer deleted", Developer, _finish)


def _finish(job: Job) -> bool:
    """A lot of the job that erases a developer."""
    is_gone = erasure.erase_lot(Developer.objects.filter(pk=job.given["row"]), job)
    if is_gone:
        _delete_login(job.given["login"])
    return is_gone


def _delete_login(user_id: int) -> None:
    _customers().filter(pk=user_id).delete()


def _customers() -> QuerySet[User]:
    """Logins that are nobody's of the staff."""
    return User.objects.filter(is_staff=False)


def save_application(application: Application) -> None:
    """Creates or changes an application, in the organisation of its developer. Raises ValidationError."""
    application.organisation = application.developer.organisation
    check_open(application)
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
