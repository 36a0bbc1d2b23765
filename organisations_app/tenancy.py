"""Who may see what: every page of a developer or of the admin, and every resource of the REST API, takes its rows
through these functions, and only through them.

What belongs to no organisation (the gateway's monitor, monitors and tokens for all, groups, logins that are no
developer's) is the operator's: who is bound to organisations does not see it.
"""

from collections.abc import Collection
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model, Q, QuerySet

from organisations_app.models import Application, Developer, Organisation, StaffConfinement

Row = TypeVar("Row", bound=Model)


def developer_of(user: AbstractBaseUser | AnonymousUser) -> Developer | None:
    """The developer behind a login, or None: staff, anonymous visitors and those of an organisation that is being
    deleted are none.
    """
    if not user.is_authenticated:
        return None
    developers = Developer.objects.select_related("organisation", "user")
    return developers.filter(user=user.pk, organisation__closed_at=None).first()


def owned(rows: QuerySet[Row], developer: Developer, application: str = "application") -> QuerySet[Row]:
    """Of `rows` those of the developer's own applications. `application` is the path of lookups that leads there.

    The organisation is compared too: an application that was moved by mistake shows nobody another organisation's rows.
    """
    path: dict[str, Any] = {
        f"{application}__developer": developer,
        f"{application}__organisation": developer.organisation_id,
    }
    return rows.filter(**path)


def applications_of(developer: Developer) -> QuerySet[Application]:
    return Application.objects.filter(developer=developer, organisation=developer.organisation_id)


def organisations_for(user: Any) -> frozenset[str] | None:
    """The organisations that a member of staff is confined to, maybe none; None is every organisation.

    Superusers see all, and so does who was never confined. Asked of the database once for each request's `user`.
    """
    if user.is_superuser:
        return None
    if not hasattr(user, "_organisations"):
        found = StaffConfinement.objects.filter(user=user.pk).values_list("organisations", flat=True)
        ids = list(found)
        user._organisations = frozenset(id for id in ids if id is not None) if ids else None
    confined: frozenset[str] | None = user._organisations
    return confined


def within(rows: QuerySet[Row], organisations: str | Collection[str] | None, *paths: str) -> QuerySet[Row]:
    """Of `rows` those that belong to the organisation, or to one of several; None is every organisation.

    `paths` are lookups that lead to an organisation's id; a row belongs to it by any of them.
    """
    if organisations is None:
        return rows
    ids = [organisations] if isinstance(organisations, str) else sorted(organisations)
    owned_by = Q(pk__in=[])
    for path in paths:
        owned_by |= Q(**{f"{path}__in": ids})
    return rows.filter(owned_by)


def living(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Without organisations that wait to be erased, and without what belongs to them."""
    if rows.model is Organisation:
        return rows.filter(closed_at=None)
    return rows.filter(organisation__closed_at=None) if is_mortal(rows.model) else rows


def waits_to_be_erased(row: Any) -> bool:
    """Together with the organisation that it is or belongs to."""
    if not is_mortal(type(row)):
        return False
    organisation = row if isinstance(row, Organisation) else row.organisation
    return organisation is not None and organisation.closed_at is not None


def is_mortal(model: type[Model]) -> bool:
    """Whether its rows are erased with an organisation: they are organisations, or each names one."""
    fields = [field for field in model._meta.fields if field.name == "organisation"]
    return model is Organisation or any(field.related_model is Organisation for field in fields)
