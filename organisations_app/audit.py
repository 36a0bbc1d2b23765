"""Who did what, when and why: entries that are only ever added (rules 2.10, 2.12)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Act:
    """What was done to one subject, with what it was before and after."""

    action: str
    subject: Subject
    reason: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


def record_all(actor: Actor, acts: Iterable[Act]) -> list[AuditEntry]:
    """Adds an entry for each. To be called in the transaction of what it tells of."""
    return AuditEntry.objects.bulk_create(
        AuditEntry(
            actor=actor.name,
            action=act.action,
            subject_kind=act.subject.kind,
            subject_id=act.subject.id,
            organisation_id=act.subject.organisation_id,
            reason=act.reason[:500],
            before=dict(act.before),
            after=dict(act.after),
        )
        for act in acts
    )


def record(
    actor: Actor,
    action: str,
    subject: Subject,
    reason: str = "",
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """As record_all, of one."""
    [entry] = record_all(actor, [Act(action, subject, reason, before or {}, after or {})])
    return entry


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members that a change touched, as they were and as they became."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before[name] for name in names if name in before}, {
        name: after[name] for name in names if name in after
    }
