"""Questions about keys that more than one face asks of the database."""

import json
from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, Lookup, OuterRef, Q, QuerySet
from django.utils import timezone

from policies_app.models import Policy, PolicyAccess
from policies_app.patterns import FIELD
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy


class Among(Lookup[Any]):
    """`Among(F(column), texts)`: as `column__in`, with one parameter however many texts there are. To read thousands
    of rows by their ids it takes a fraction of the time.
    """

    lookup_name = "among"
    prepare_rhs = False
    rhs: Sequence[str]

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        column, values = self.process_lhs(compiler, connection)
        return f"{column} IN (SELECT value FROM json_each(%s))", (*values, json.dumps(list(self.rhs)))  # noqa: S608

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        column, values = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*values, list(self.rhs))


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


def with_patterns(keys: QuerySet[Key]) -> QuerySet[Key]:
    """Only a key with a custom rate limit pattern, of its own or of a policy, can share a counter (section 5)."""
    patterned = Policy.objects.filter(meta_data__has_key=FIELD).values("pk")
    applied = KeyPolicy.objects.filter(key=OuterRef("pk"), policy__in=patterned)
    return keys.filter(Q(meta_data__has_key=FIELD) | Exists(applied))


def keys_with_patterns(organisation_id: str) -> QuerySet[Key]:
    return with_patterns(Key.objects.filter(organisation=organisation_id))
