"""Making, changing and removing organisations. Each change holds from the next request on (rule 1.5)."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from organisations_app import erasure, jobs, versions
from organisations_app.audit import Actor
from organisations_app.models import IDENTIFIER, Job, Organisation

ERASE = "erase-organisation"
_closers: list[Callable[[str], object]] = []


def on_close(closer: Callable[[str], object]) -> None:
    """Called once, at start, by a layer that has to stop what a closed organisation owns there, given its id."""
    _closers.append(closer)


@transaction.atomic
def save_organisation(organisation: Organisation) -> None:
    """Creates or changes an organisation. Raises ValidationError naming the field, or for one that is being deleted or
    is gone: a change that was on its way meanwhile must not open it again.
    """
    organisation.full_clean()
    if organisation._state.adding:
        organisation.save()
    else:
        _change(organisation)
    versions.bump(versions.organisation_scope(organisation.pk))


@transaction.atomic
def delete_organisation(organisation: Organisation, by: Actor, reason: str = "") -> Job | None:
    """Deletes an organisation with everything that it owns.

    One that owns more than a request can erase is closed, so that nothing of it works any more, and erased by a job,
    which is answered, unless there is one already; its id is free again when the job is done.
    """
    organisation_id, job = organisation.pk, None
    if not erasure.owns_much(organisation):
        organisation.delete()
    elif _close(organisation):
        job = jobs.start(ERASE, by, reason, {"organisation": organisation_id, "name": organisation.name})
    _bump(organisation_id)
    return job


def organisation_named(organisation_id: str) -> Organisation:
    """The organisation with this id, made if it does not exist: Tyk knows organisations by their id alone. Raises
    ValidationError for one that is being deleted.
    """
    IDENTIFIER(organisation_id)
    organisation, _ = Organisation.objects.get_or_create(pk=organisation_id, defaults={"name": organisation_id})
    if organisation.closed_at is not None:
        raise ValidationError({"organisation": f"{organisation_id} is being deleted; use another id, or wait."})
    return organisation


def check_open(row: Any) -> None:
    """Raises ValidationError for a row of an organisation that is being deleted, or that is to be moved there or away:
    until it is erased nothing of it is changed, least of all switched on again.
    """
    stored = type(row)._default_manager.filter(pk=row.pk).values("organisation")
    closed = Organisation.objects.exclude(closed_at=None).filter(Q(pk=row.organisation_id) | Q(pk__in=stored)).first()
    if closed is not None:
        words = f"{closed.pk} is being deleted: nothing that belongs to it can be changed, and nothing added."
        raise ValidationError({"organisation": words})


def register_erasure() -> None:
    erasure.register(ERASE, "Organisation deleted", Organisation, _finish)


def _change(organisation: Organisation) -> None:
    fields = [field for field in Organisation._meta.concrete_fields if field.editable and not field.primary_key]
    values = {field.attname: getattr(organisation, field.attname) for field in fields}
    if not Organisation.objects.living().filter(pk=organisation.pk).update(**values):
        raise ValidationError(f"{organisation.pk} is being deleted: it cannot be changed any more.")


def _close(organisation: Organisation) -> bool:
    """False if somebody else has closed it, or erased it."""
    if not Organisation.objects.living().filter(pk=organisation.pk).update(closed_at=timezone.now()):
        return False
    organisation.admin_tokens.all().delete()
    for closer in _closers:
        closer(organisation.pk)
    return True


def _bump(organisation_id: str) -> None:
    """The gateway's version, too: with an organisation its APIs and policies go."""
    versions.bump(versions.organisation_scope(organisation_id), versions.GATEWAY)


def _finish(job: Job) -> bool:
    """A lot of the job that erases a closed organisation."""
    organisation_id = job.given["organisation"]
    closed = Organisation.objects.filter(pk=organisation_id).exclude(closed_at=None)
    is_gone = erasure.erase_lot(closed, job)
    if is_gone:
        _bump(organisation_id)
    return is_gone
