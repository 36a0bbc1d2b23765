"""What can be done with keys beside editing them, as one list for the page of a key, for selected keys and for jobs.

What an act is given (a policy's id, a number) is plain JSON, so that a job can keep it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from organisations_app.audit import Actor
from sessions_app import corrections, custody
from sessions_app.models import Key

Given = Mapping[str, Any]
Words = dict[str, str]
Doing = Callable[[Sequence[Key], Actor, str, Given], Words]


def _is_fine(key: Key) -> None:
    pass


@dataclass(frozen=True, slots=True)
class KeyAct:
    """`do` answers in words, by key id, what it did. It raises ValidationError or DocumentError where it is not
    allowed, as `check` does of one key beforehand, and StoreUnavailable. `name` is the audit's; `done` begins the
    sentence that tells of it.
    """

    name: str
    done: str
    do: Doing
    check: Callable[[Key], None] = _is_fine

    def do_one(self, key: Key, by: Actor, reason: str, given: Given) -> str:
        self.check(key)
        return self.do([key], by, reason, given)[key.pk]


def _reset(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    used = {key.pk: corrections.reset_quota(key, by, reason) for key in keys}
    return {key_id: f"{units:,} requests had been used" for key_id, units in used.items()}


def _set_remaining(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    remaining = given["quota_remaining"]
    before = {key.pk: corrections.set_remaining(key, remaining, by, reason) for key in keys}
    return {key_id: f"{remaining:,} requests remain, before it were {left:,}" for key_id, left in before.items()}


def _revoke(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    custody.revoke_keys(keys, by, reason)
    return _of_each(keys, "the next request with it is refused")


def _block(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    custody.set_inactive(keys, True, by, reason)
    return _of_each(keys, "the next request with it is refused")


def _unblock(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    custody.set_inactive(keys, False, by, reason)
    return _of_each(keys, "it may be used again")


def _extend(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    custody.extend_keys(keys, timedelta(days=given["days"]), by, reason)
    return {key.pk: f"it works until {key.expires_at:%Y-%m-%d %H:%M} UTC" for key in keys}


def _assign_policy(keys: Sequence[Key], by: Actor, reason: str, given: Given) -> Words:
    custody.assign_policy(keys, given["policy"], by, reason, alone=given["alone"])
    return _of_each(keys, f"policy {given['policy']} is applied")


def _of_each(keys: Sequence[Key], words: str) -> Words:
    return {key.pk: words for key in keys}


ACTS = {
    act.name: act
    for act in (
        KeyAct("reset-quota", "Quota reset", _reset),
        KeyAct("set-remaining", "Remaining requests set", _set_remaining),
        KeyAct("revoke", "Revoked", _revoke),
        KeyAct("block", "Blocked", _block),
        KeyAct("unblock", "Unblocked", _unblock),
        KeyAct("extend", "Extended", _extend, custody.check_extendable),
        KeyAct("assign-policy", "Policy assigned", _assign_policy),
    )
}
