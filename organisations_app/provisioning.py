"""The metadata that a key provisioned for an application carries, so that custom rate limit keys can refer to it
(section 5).
"""

from typing import Any

from organisations_app.models import Application, AttributeDefinition


def provisioned_meta_data(application: Application) -> dict[str, Any]:
    """What a new key of this application carries: whose it is, and the developer's attributes that are meant for
    keys.
    """
    developer = application.developer
    wanted = AttributeDefinition.objects.filter(add_to_key_metadata=True).values_list("name", flat=True)
    attributes = {name: developer.attributes[name] for name in wanted if name in developer.attributes}
    return attributes | {
        "ApplicationID": str(application.pk),
        "DeveloperID": str(developer.pk),
        "OrganisationID": application.organisation_id,
    }
