"""Who is told of an event: the monitors that want it, and the developers it concerns. Read once for a whole batch."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Q

from monitors_app.models import EmailPreference, Monitor, TriggerEvent
from monitors_app.watching import wants
from organisations_app.models import Developer
from sessions_app.models import Key


@dataclass(frozen=True)
class Audience:
    """`owners`: by key id, the developer who owns the key's application. `admins`: by organisation id (rule 7.12)."""

    monitors: list[Monitor]
    owners: dict[str, Developer] = field(default_factory=dict)
    admins: dict[str, list[Developer]] = field(default_factory=dict)

    def monitors_of(self, event: TriggerEvent) -> list[Monitor]:
        return [monitor for monitor in self.monitors if wants(monitor, event)]

    def developers_of(self, event: TriggerEvent) -> list[Developer]:
        if event.kind == TriggerEvent.Kind.ORGANISATION:
            return self.admins.get(event.organisation_id, [])
        owner = self.owners.get(event.key_id)
        return [owner] if owner else []


def audience_of(events: Iterable[TriggerEvent]) -> Audience:
    """Three queries, whatever the number of events."""
    events = list(events)
    organisations = {event.organisation_id for event in events}
    covering = Q(organisation=None) | Q(organisation__in=organisations)
    return Audience(
        monitors=list(Monitor.objects.filter(covering, is_enabled=True).order_by("pk")),
        owners=_owners({event.key_id for event in events if event.kind == TriggerEvent.Kind.KEY}),
        admins=_admins({event.organisation_id for event in events if event.kind == TriggerEvent.Kind.ORGANISATION}),
    )


def listens(developer: Developer) -> bool:
    """Whether e-mails may be sent to this developer at all; expects `user`, `organisation` and `email_preference` to be
    selected. Nobody of an organisation that is being deleted is told what it used before.
    """
    address = developer.user.email
    preference = getattr(developer, "email_preference", None)
    off = preference is not None and (
        preference.thresholds == EmailPreference.Thresholds.OFF or preference.refused_address == address
    )
    is_closed = developer.organisation.closed_at is not None
    return bool(developer.user.is_active and address and not off and not is_closed)


def _owners(key_ids: set[str]) -> dict[str, Developer]:
    if not key_ids:
        return {}
    owner = "application__developer"
    keys = Key.objects.filter(pk__in=key_ids, application__isnull=False)
    keys = keys.select_related(f"{owner}__user", f"{owner}__organisation", f"{owner}__email_preference").only(
        "id",
        "application__id",
        f"{owner}__id",
        f"{owner}__user",
        f"{owner}__organisation",
        f"{owner}__email_preference",
    )
    owners = {key.pk: key.application.developer for key in keys if key.application}
    return {key_id: developer for key_id, developer in owners.items() if listens(developer)}


def _admins(organisation_ids: set[str]) -> dict[str, list[Developer]]:
    admins: dict[str, list[Developer]] = {}
    if not organisation_ids:
        return admins
    developers = Developer.objects.filter(organisation__in=organisation_ids, role=Developer.Role.ADMIN)
    for developer in developers.select_related("user", "organisation", "email_preference").order_by("pk"):
        if listens(developer):
            admins.setdefault(developer.organisation_id, []).append(developer)
    return admins
