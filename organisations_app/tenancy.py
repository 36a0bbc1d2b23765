"""Who may see what: every page of a developer, and every resource of the REST API, takes its rows through these
functions, and only through them.
"""

from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Model, Q, QuerySet

from organisations_app.models import Application, Developer

Row = TypeVar("Row", bound=Model)


def developer_of(user: AbstractBaseUser | AnonymousUser) -> Developer | None:
    """The developer behind a login, or None: staff and anonymous visitors are none."""
    if not user.is_authenticated:
        return None
    return Developer.objects.select_related("organisation", "user").filter(user=user.pk).first()


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


def within(rows: QuerySet[Row], organisation_id: str | None, *paths: str) -> QuerySet[Row]:
    """Of `rows` those that belong to the organisation; None is every organisation.

    `paths` are lookups that lead to an organisation's id; a row belongs to it by any of them.
    """
    if organisation_id is None:
        return rows
    owned_by = Q()
    for path in paths:
        owned_by |= Q(**{path: organisation_id})
    return rows.filter(owned_by)
