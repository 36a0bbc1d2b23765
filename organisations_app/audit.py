"""Who did what, when and why: entries that are only ever added (rules 2.10, 2.12)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from organisations_app.models import AuditEntry


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person (`admin:<user name>`), a program (`token:<name>`), or the gateway itself (`system`)."""

    name: str

    @classmethod
    def person(cls, user_name: str) -> "Actor":
        return cls(f"admin:{user_name}")

    @classmethod
    def token(cls, name: str) -> "Actor":
        return cls(f"token:{name}")


ROOT = Actor.token("root")
SYSTEM = Actor("system")


@dataclass(frozen=True, slots=True)
class Subject:
    """What was acted on. `kind` is key, organisation, policy, api, …"""

    kind: str
    id: str
    organisation_id: str


def record(
    actor: Actor,
    action: str,
    subject: Subject,
    reason: str = "",
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Adds an entry. To be called in the transaction of what it tells of."""
    return AuditEntry.objects.create(
        actor=actor.name,
        action=action,
        subject_kind=subject.kind,
        subject_id=subject.id,
        organisation_id=subject.organisation_id,
        reason=reason[:500],
        before=dict(before or {}),
        after=dict(after or {}),
    )


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members that a change touched, as they were and as they became."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before[name] for name in names if name in before}, {
        name: after[name] for name in names if name in after
    }
