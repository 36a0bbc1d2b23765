"""What can be done with a key beside editing it, as one list for the page of a key, for selected keys and for jobs.

What an act is given (a policy's id, a number) is plain JSON, so that a job can keep it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from organisations_app.audit import Actor
from sessions_app import corrections, custody
from sessions_app.models import Key

Given = Mapping[str, Any]
Doing = Callable[[Key, Actor, str, Given], str]


@dataclass(frozen=True, slots=True)
class KeyAct:
    """`do` answers in words what it did. It raises ValidationError or DocumentError where this key does not allow it,
    and StoreUnavailable. `name` is the audit's; `done` begins the sentence that tells of it.
    """

    name: str
    done: str
    do: Doing


def _reset(key: Key, by: Actor, reason: str, given: Given) -> str:
    used = corrections.reset_quota(key, by, reason)
    return f"{used:,} requests had been used"


def _set_remaining(key: Key, by: Actor, reason: str, given: Given) -> str:
    remaining = given["quota_remaining"]
    before = corrections.set_remaining(key, remaining, by, reason)
    return f"{remaining:,} requests remain, before it were {before:,}"


def _revoke(key: Key, by: Actor, reason: str, given: Given) -> str:
    custody.revoke_key(key, by, reason)
    return "the next request with it is refused"


def _block(key: Key, by: Actor, reason: str, given: Given) -> str:
    custody.set_inactive(key, True, by, reason)
    return "the next request with it is refused"


def _unblock(key: Key, by: Actor, reason: str, given: Given) -> str:
    custody.set_inactive(key, False, by, reason)
    return "it may be used again"


def _extend(key: Key, by: Actor, reason: str, given: Given) -> str:
    end = custody.extend_key(key, timedelta(days=given["days"]), by, reason)
    return f"it works until {end:%Y-%m-%d %H:%M} UTC"


def _assign_policy(key: Key, by: Actor, reason: str, given: Given) -> str:
    custody.assign_policy(key, given["policy"], by, reason, alone=given["alone"])
    return f"policy {given['policy']} is applied"


ACTS = {
    act.name: act
    for act in (
        KeyAct("reset-quota", "Quota reset", _reset),
        KeyAct("set-remaining", "Remaining requests set", _set_remaining),
        KeyAct("revoke", "Revoked", _revoke),
        KeyAct("block", "Blocked", _block),
        KeyAct("unblock", "Unblocked", _unblock),
        KeyAct("extend", "Extended", _extend),
        KeyAct("assign-policy", "Policy assigned", _assign_policy),
    )
}
