"""A big database for measurements: invented keys, policies, usage, events and deliveries, in the proportions of a busy
gateway. A tenth of all keys belongs to one organisation; the others share the rest evenly. A tenth of an organisation's
plans have their keys count together (custom rate limit keys).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.contrib.auth.models import User

from demo.bulk_rows import Table, Written, after_numbering, next_id
from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from monitors_app.targets import target_of
from organisations_app.models import Application, AuditEntry, ConfigVersion, Developer, Organisation
from organisations_app.versions import key_scope
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.engine import names
from sessions_app.models import (
    CounterShare,
    Credential,
    Key,
    KeyPolicy,
    OrgSession,
    UsageDay,
    UsageHour,
    UsageSnapshot,
)

PREFIX = "scale"
POLICIES_EACH = 50  # of an organisation
HOURS_BACK = 30 * 24
APIS_EACH = 4  # of an organisation
QUOTA = 1_000
FIRST_EVERY = 10  # every tenth key is the first organisation's
CHANGED_EVERY = 10  # every tenth key was changed since it was made
SHARED_EVERY = 10  # every tenth plan of an organisation has this pattern
PATTERN = {"rate_limit_pattern": "together"}


@dataclass
class Scale:
    """How much of everything. Organisations and what belongs to them follow from the number of policies."""

    keys: int
    policies: int
    hours: int
    events: int
    now: datetime
    organisations: int = field(init=False)
    first_user: int = field(init=False)
    first_developer: int = field(init=False)
    first_application: int = field(init=False)
    first_event: int = field(init=False)
    first_delivery: int = field(init=False)

    def __post_init__(self) -> None:
        self.organisations = max(1, self.policies // POLICIES_EACH)
        self.first_user, self.first_developer = next_id(User), next_id(Developer)
        self.first_application = next_id(Application)
        self.first_event, self.first_delivery = next_id(TriggerEvent), next_id(Delivery)

    def owner(self, key: int) -> int:
        """The organisation that a key belongs to."""
        return 0 if key % FIRST_EVERY == 0 else key % self.organisations

    def policy(self, key: int) -> int:
        """Of the key's own organisation."""
        each = self.policies // self.organisations
        return self.owner(key) + self.organisations * (key // self.organisations % each)

    def api(self, key: int, more: int = 0) -> str:
        return f"{PREFIX}-api-{self.owner(key)}-{(key + more) % APIS_EACH}"

    def counts_together(self, policy: int) -> bool:
        return policy // self.organisations % SHARED_EVERY == SHARED_EVERY - 1

    def is_sharer(self, key: int) -> bool:
        return self.counts_together(self.policy(key))

    def counter(self, key: int) -> str:
        return names.key_counter(_org(self.owner(key)), _key(key), f"policy:{_policy(self.policy(key))}")

    def shared_counter(self, organisation: int) -> str:
        return names.subject_counter(_org(organisation), PATTERN["rate_limit_pattern"])


def _org(number: int) -> str:
    return f"{PREFIX}-{number:04}"


def _policy(number: int) -> str:
    return f"{PREFIX}-plan-{number:05}"


def _key(number: int) -> str:
    return f"key_{PREFIX}{number:09}"


@dataclass(frozen=True, slots=True)
class Part:
    """Some tables that are filled together: the words for the progress bar, how many rows, and how."""

    words: str
    rows: int
    fill: Callable[[Written], None]


def parts(scale: Scale) -> list[Part]:
    """What is to be written, in order."""
    people = scale.organisations * 5
    return [
        Part("organisations", scale.organisations * (2 + APIS_EACH) + people * 3, lambda told: _people(scale, told)),
        Part("policies", scale.policies * 3, lambda told: _policies(scale, told)),
        Part("keys", scale.keys * 2, lambda told: _keys(scale, told)),
        Part("policies of keys", scale.keys + scale.keys // 10, lambda told: _key_policies(scale, told)),
        Part("versions of keys", -(-scale.keys // CHANGED_EVERY), lambda told: _versions(scale, told)),
        Part("counters", scale.keys + scale.organisations, lambda told: _snapshots(scale, told)),
        Part("hours of usage", scale.hours + scale.organisations * 31, lambda told: _usage(scale, told)),
        Part("events and deliveries", scale.events * 5, lambda told: _events(scale, told)),
        Part("audit", scale.events, lambda told: _audit(scale, told)),
    ]


def is_there() -> bool:
    return Organisation.objects.filter(pk__startswith=f"{PREFIX}-").exists()


def finish() -> None:
    after_numbering([User, Developer, Application, TriggerEvent, Delivery])


# --- who --------------------------------------------------------------------------------------------------------------


def _people(scale: Scale, told: Written) -> None:
    numbers, people = range(scale.organisations), range(scale.organisations * 5)
    now = scale.now
    Table(Organisation, ("id", "name"), Organisation(created_at=now)).write(
        ((_org(number), f"Customer {number:04}") for number in numbers), told
    )
    Table(OrgSession, ("organisation_id",), OrgSession(quota_max=10**9, quota_renewal_rate=86_400)).write(
        ((_org(number),) for number in numbers), told
    )
    Table(Api, ("id", "organisation_id", "name", "listen_path"), Api(target_url="http://127.0.0.1:9/")).write(
        (
            (f"{PREFIX}-api-{number}-{api}", _org(number), f"API {number}.{api}", f"/{PREFIX}/{number}/{api}/")
            for number in numbers
            for api in range(APIS_EACH)
        ),
        told,
    )
    Table(User, ("id", "username", "email"), User(date_joined=now)).write(
        ((scale.first_user + one, f"{PREFIX}{one}", f"{PREFIX}{one}@customer.example") for one in people), told
    )
    Table(Developer, ("id", "organisation_id", "user_id"), Developer()).write(
        ((scale.first_developer + one, _org(one // 5), scale.first_user + one) for one in people), told
    )
    Table(Application, ("id", "organisation_id", "developer_id", "name"), Application()).write(
        (
            (scale.first_application + one, _org(one // 5), scale.first_developer + one, f"Application {one}")
            for one in people
        ),
        told,
    )


# --- what is allowed --------------------------------------------------------------------------------------------------


def _policies(scale: Scale, told: Written) -> None:
    numbers = range(scale.policies)
    for together, meta_data in ((False, {}), (True, PATTERN)):
        example = Policy(
            quota_max=QUOTA, quota_renewal_rate=86_400, rate=50, per=1, trigger_limits=[90, 75, 50], meta_data=meta_data
        )
        chosen = (one for one in numbers if scale.counts_together(one) == together)
        Table(Policy, ("id", "organisation_id", "name"), example).write(
            ((_policy(one), _org(one % scale.organisations), f"Plan {one:05}") for one in chosen), told
        )
    Table(PolicyAccess, ("policy_id", "api_id"), PolicyAccess()).write(
        (
            (_policy(one), f"{PREFIX}-api-{one % scale.organisations}-{(one + more) % APIS_EACH}")
            for one in numbers
            for more in range(2)
        ),
        told,
    )


def _keys(scale: Scale, told: Written) -> None:
    """One in fifty is revoked, one in fifty blocked, one in ten expires."""
    columns = ("id", "organisation_id", "application_id", "alias", "is_inactive", "expires_at", "revoked_at")
    example = Key(updated_at=scale.now)
    Table(Key, (*columns, "created_at"), example).write((_key_row(scale, one) for one in range(scale.keys)), told)
    Table(Credential, ("key_id", "digest", "hint", "created_at"), Credential()).write(
        ((_key(one), f"{one:064x}", f"tg_…{one % 10**4:04}", scale.now) for one in range(scale.keys)), told
    )


def _key_row(scale: Scale, one: int) -> tuple[Any, ...]:
    owner = scale.owner(one)
    created = scale.now - timedelta(seconds=30 * (scale.keys - one))
    expires = scale.now + timedelta(days=one % 365 - 30, seconds=one % 86_400) if one % 10 == 3 else None
    return (
        _key(one),
        _org(owner),
        scale.first_application + owner * 5 + one % 5,
        f"Service {one:07}" if one % 5 else "",
        one % 50 == 7,
        expires,
        scale.now if one % 50 == 11 else None,
        created,
    )


def _key_policies(scale: Scale, told: Written) -> None:
    """One policy each, every tenth key a second one of the same organisation."""
    each, keys = scale.policies // scale.organisations, range(scale.keys)
    first = ((_key(one), _policy(scale.policy(one)), 0) for one in keys)
    second = (
        (_key(one), _policy((scale.policy(one) + scale.organisations) % (scale.organisations * each)), 1)
        for one in keys[: scale.keys // 10 * 10 : 10]
    )
    Table(KeyPolicy, ("key_id", "policy_id", "position"), KeyPolicy()).write(chain(first, second), told)


def _versions(scale: Scale, told: Written) -> None:
    Table(ConfigVersion, ("scope",), ConfigVersion(number=1, published=1)).write(
        ((key_scope(_org(scale.owner(one)), _key(one)),) for one in range(0, scale.keys, CHANGED_EVERY)), told
    )


# --- usage ------------------------------------------------------------------------------------------------------------


def _snapshots(scale: Scale, told: Written) -> None:
    """Evenly used, from none to all of the quota."""
    began = int((scale.now - timedelta(hours=1)).timestamp() * 1000)
    example = UsageSnapshot(period_start_ms=began, taken_at=scale.now, ends_at=scale.now + timedelta(hours=23))
    sharers = [one for one in range(scale.keys) if scale.is_sharer(one)]
    own = (
        (scale.counter(one), _key(one), _used(one), _percent(one))
        for one in range(scale.keys)
        if not scale.is_sharer(one)
    )
    shared = ((scale.shared_counter(one), "", _used(one), _percent(one)) for one in range(scale.organisations))
    Table(UsageSnapshot, ("counter", "key_id", "used", "percent"), example).write(chain(own, shared), told)
    Table(CounterShare, ("organisation_id", "key_id", "counter"), CounterShare(seen_at=scale.now)).write(
        ((_org(scale.owner(one)), _key(one), scale.shared_counter(scale.owner(one))) for one in sharers), told
    )


def _used(one: int) -> int:
    return one * 7919 % (QUOTA + 1)


def _percent(one: int) -> int:
    return _used(one) * 100 // QUOTA


def _usage(scale: Scale, told: Written) -> None:
    Table(
        UsageHour, ("organisation_id", "key_id", "api_id", "hour", "passed", "denied"), UsageHour(epoch=PREFIX)
    ).write((_hour_row(scale, one) for one in range(scale.hours)), told)
    today = scale.now.date()
    each = scale.hours * 20 // (scale.organisations * 31)
    Table(UsageDay, ("organisation_id", "day"), UsageDay(passed=each, denied=each // 50)).write(
        ((_org(one), today - timedelta(days=age)) for one in range(scale.organisations) for age in range(31)), told
    )


def _hour_row(scale: Scale, one: int) -> tuple[Any, ...]:
    key, round_ = one % scale.keys, one // scale.keys
    begin = scale.now.replace(minute=0, second=0, microsecond=0)
    hour = begin - timedelta(hours=(key * 7 + round_ * 97) % HOURS_BACK)
    return _org(scale.owner(key)), _key(key), scale.api(scale.policy(key), round_ % 2), hour, one % 40, one % 3


# --- what was told ----------------------------------------------------------------------------------------------------


def _events(scale: Scale, told: Written) -> None:
    monitor = Monitor.objects.create(name="Scale", target_path="https://hooks.example/scale", is_enabled=False)
    numbers = range(scale.events)
    columns = ("id", "counter", "period_start_ms", "organisation_id", "key_id", "alias", "occurred_at", "recorded_at")
    example = TriggerEvent(kind="key", source="policy", threshold="75", used=750, quota_max=QUOTA, key_hint="tg_…0000")
    Table(TriggerEvent, columns, example).write((_event_row(scale, one) for one in numbers), told)
    _deliveries(scale, monitor, told)


def _event_row(scale: Scale, one: int) -> tuple[Any, ...]:
    key, at = one % scale.keys, _told_at(scale, one)
    owner = _org(scale.owner(key))
    return scale.first_event + one, scale.counter(key), one, owner, _key(key), f"Service {key:07}", at, at


def _told_at(scale: Scale, one: int) -> datetime:
    return scale.now - timedelta(seconds=10 * (scale.events - one))


def _deliveries(scale: Scale, monitor: Monitor, told: Written) -> None:
    """A webhook and an e-mail each; one webhook in a hundred failed."""
    columns = ("id", "event_id", "status", "subject", "message_id", "created_at", "finished_at")
    common: dict[str, Any] = {"attempt_count": 1, "round_attempts": 1, "body": '{"event":"TriggerExceeded"}'}
    sent_to = {"recipient": monitor.target_path, "target": target_of(monitor.target_path)}
    webhook = Delivery(channel="webhook", monitor=monitor, method="POST", **sent_to, **common)
    Table(Delivery, columns, webhook).write((_delivery_row(scale, one, 0) for one in range(scale.events)), told)
    email = Delivery(channel="email", recipient=f"{PREFIX}0@customer.example", **common)
    Table(Delivery, (*columns, "developer_id"), email).write(
        ((*_delivery_row(scale, one, scale.events), scale.first_developer) for one in range(scale.events)), told
    )
    Table(Attempt, ("delivery_id", "started_at"), Attempt(number=1, duration_ms=12, status_code=200)).write(
        ((scale.first_delivery + one, _told_at(scale, one % scale.events)) for one in range(2 * scale.events)), told
    )


def _delivery_row(scale: Scale, one: int, offset: int) -> tuple[Any, ...]:
    at = _told_at(scale, one)
    status = "failed" if offset == 0 and one % 100 == 0 else "delivered"
    number = scale.first_delivery + offset + one
    return number, scale.first_event + one, status, _key(one % scale.keys), f"msg_{PREFIX}{number}", at, at


def _audit(scale: Scale, told: Written) -> None:
    example = AuditEntry(actor="admin:scale", subject_kind="key", before={"alias": "Old"}, after={"alias": "New"})
    actions = ("change", "reset-quota", "rotate", "create")
    Table(AuditEntry, ("at", "action", "subject_id", "organisation_id"), example).write(
        (
            (_told_at(scale, one), actions[one % 4], _key(one % scale.keys), _org(scale.owner(one % scale.keys)))
            for one in range(scale.events)
        ),
        told,
    )


def scale_of(keys: int, policies: int, hours: int, events: int) -> Scale:
    return Scale(keys, policies, hours, events, datetime.now(UTC))
