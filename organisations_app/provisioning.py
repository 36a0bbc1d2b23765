"""The metadata that a key provisioned for an application carries, so that custom rate limit keys can refer to it
(section 5).
"""

from collections.abc import Iterable
from typing import Any

from organisations_app.models import Application, AttributeDefinition


def carried_attributes() -> list[str]:
    """Names of the developers' attributes that new keys carry."""
    return list(AttributeDefinition.objects.filter(add_to_key_metadata=True).values_list("name", flat=True))


def provisioned_meta_data(application: Application, carried: Iterable[str]) -> dict[str, Any]:
    """What a new key of this application carries: whose it is, and the developer's attributes with these names."""
    developer = application.developer
    attributes = {name: developer.attributes[name] for name in carried if name in developer.attributes}
    return attributes | {
        "ApplicationID": str(application.pk),
        "DeveloperID": str(developer.pk),
        "OrganisationID": application.organisation_id,
    }
