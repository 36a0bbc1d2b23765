"""A row of each model that the admin knows, for tests that ask all of its pages."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.utils import timezone

from monitors_app.models import Delivery, Monitor, TriggerEvent
from organisations_app import audit
from organisations_app.models import AdminToken, Application, Developer, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.keys import create_key
from sessions_app.models import Key, KeyAccess, OrgSession


def everything_of(organisation: Organisation | None, name: str) -> dict[type[Model], Model]:
    """A row of each model of the admin that can belong to an organisation; all say `name`."""
    slug = name.lower()
    rows: list[Model] = [
        AdminToken.objects.create(name=name, organisation=organisation, scopes=["keys:read"], digest=slug, hint=name),
        audit.record(audit.SYSTEM, slug, audit.Subject("key", slug, organisation.pk if organisation else "")),
        Monitor.objects.create(name=name, organisation=organisation, target_path=f"https://{slug}.example/hook"),
        User.objects.create_user(slug, f"dev@{slug}.example"),
        event_of(organisation.pk if organisation else "", slug),
    ]
    if organisation:
        rows += owned_rows(organisation, name, rows)
    found: dict[Any, Any] = {type(row): row for row in rows}
    delivery = {"channel": "webhook", "recipient": f"https://{slug}.example/hook", "subject": slug}
    found[Delivery] = Delivery.objects.create(monitor=found[Monitor], event=found[TriggerEvent], **delivery)
    return found


def event_of(organisation_id: str, slug: str) -> TriggerEvent:
    numbers = {"period_start_ms": 1, "threshold": "80", "used": 8, "quota_max": 10, "occurred_at": timezone.now()}
    return TriggerEvent.objects.create(
        kind="key", counter=slug, source=slug, alias=slug, organisation_id=organisation_id, **numbers
    )


def owned_rows(organisation: Organisation, name: str, rows: list[Model]) -> list[Model]:
    slug = name.lower()
    user = next(row for row in rows if isinstance(row, User))
    developer = Developer.objects.create(organisation=organisation, user=user)
    application = Application.objects.create(organisation=organisation, developer=developer, name=name)
    api = Api.objects.create(id=f"api-{slug}", organisation=organisation, name=name, listen_path=f"/{slug}/")
    policy = Policy.objects.create(id=f"policy-{slug}", organisation=organisation, name=name)
    PolicyAccess.objects.create(policy=policy, api=api)
    key = Key(pk=f"key_{slug}", organisation=organisation, application=application, alias=name)
    create_key(key, policies=[policy.pk], access=[KeyAccess(api=api)], token=f"raw-key-of-{slug}")
    session = OrgSession.objects.create(organisation=organisation, quota_max=10, quota_renewal_rate=60)
    return [organisation, developer, application, api, policy, key, session]
