"""Changes of APIs and policies. Each is one transaction and holds from the next request on (rule 1.5)."""

from collections.abc import Sequence

from django.db import transaction

from organisations_app import organisations, versions
from policies_app.models import Api, Policy, PolicyAccess


@transaction.atomic
def save_api(api: Api) -> None:
    """Creates or changes an API definition. Raises ValidationError naming the field."""
    organisations.check_open(api)
    api.full_clean()
    api.save()
    versions.bump(versions.GATEWAY)


@transaction.atomic
def delete_api(api: Api) -> None:
    """Deletes the definition; access rights to its id stay, so that it can be made again."""
    api.delete()
    versions.bump(versions.GATEWAY)


def switch_off_apis(organisation_id: str) -> None:
    """Of an organisation that is closed, in the transaction that closes it: their paths lead nowhere."""
    Api.objects.filter(organisation=organisation_id, is_active=True).update(is_active=False)


@transaction.atomic
def save_policy(policy: Policy, access: Sequence[PolicyAccess] | None = None) -> None:
    """Creates or changes a policy; `access`, if given, replaces its access rights. Raises ValidationError naming the
    field.
    """
    organisations.check_open(policy)
    policy.full_clean()
    policy.save()
    if access is not None:
        policy.access.all().delete()
        for right in access:
            right.policy = policy
            right.clean()
        PolicyAccess.objects.bulk_create(access)
    versions.bump(versions.GATEWAY)


@transaction.atomic
def delete_policy(policy: Policy) -> None:
    """Deletes a policy. Keys keep its id: it is skipped, and the last one takes access away (rule 3.6)."""
    policy.delete()
    versions.bump(versions.GATEWAY)
