"""Questions about keys that more than one face asks of the database."""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from policies_app.models import Policy, PolicyAccess
from policies_app.patterns import FIELD
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy


def living_credentials() -> QuerySet[Credential]:
    """Secrets that open a key today."""
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    return Credential.objects.filter(alive, key__revoked_at__isnull=True)


def keys_naming(api_id: str) -> QuerySet[Key]:
    """Keys with an access right to this API, of their own or by a policy."""
    own = KeyAccess.objects.filter(key=OuterRef("pk"), api=api_id)
    granting = PolicyAccess.objects.filter(api=api_id).values("policy_id")
    applied = KeyPolicy.objects.filter(key=OuterRef("pk"), policy__in=granting)
    return Key.objects.filter(Exists(own) | Exists(applied))


def keys_with_patterns(organisation_id: str) -> QuerySet[Key]:
    """Only a key with a custom rate limit pattern, of its own or of a policy, can share a counter (section 5)."""
    patterned = Policy.objects.filter(meta_data__has_key=FIELD).values("pk")
    applied = KeyPolicy.objects.filter(key=OuterRef("pk"), policy__in=patterned)
    return Key.objects.filter(Q(meta_data__has_key=FIELD) | Exists(applied), organisation=organisation_id)
