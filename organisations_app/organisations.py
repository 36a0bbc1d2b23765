"""Making, changing and removing organisations. Each change holds from the next request on (rule 1.5)."""

from django.db import transaction

from organisations_app import versions
from organisations_app.models import IDENTIFIER, Organisation


@transaction.atomic
def save_organisation(organisation: Organisation) -> None:
    """Creates or changes an organisation. Raises ValidationError naming the field."""
    organisation.full_clean()
    organisation.save()
    versions.bump(versions.organisation_scope(organisation.pk))


@transaction.atomic
def delete_organisation(organisation: Organisation) -> None:
    """Deletes an organisation with everything that it owns: APIs and policies too, hence the gateway's version."""
    organisation_id = organisation.pk
    organisation.delete()
    versions.bump(versions.organisation_scope(organisation_id), versions.GATEWAY)


def organisation_named(organisation_id: str) -> Organisation:
    """The organisation with this id, made if it does not exist: Tyk knows organisations by their id alone."""
    IDENTIFIER(organisation_id)
    organisation, _ = Organisation.objects.get_or_create(pk=organisation_id, defaults={"name": organisation_id})
    return organisation
