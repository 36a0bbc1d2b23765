"""Corrections of usage by people and programs: reset a quota, set what remains. Each is audited (rules 2.10, 2.12).

The one way to do either, for the admin, the REST API and the Tyk dialect alike. They reach the counters that a key
really uses, also shared ones. No crash in between leaves one without its entry: see correction_notes.
"""

from collections.abc import Iterable, Mapping

from django.core.exceptions import ValidationError

from organisations_app.audit import Actor, Subject
from organisations_app.models import Organisation
from sessions_app import usage
from sessions_app.correction_notes import RESET, SET_REMAINING, CarriedOut, Corrected, Correction, enter
from sessions_app.engine import check
from sessions_app.engine.types import QuotaLimit
from sessions_app.models import Key
from sessions_app.store import sync_store


def reset_quota(key: Key, by: Actor, reason: str = "") -> int:
    """Usage of every quota counter of the key becomes 0, fired thresholds are forgotten, and a new period begins with
    the next request. Returns the units used before. Raises StoreUnavailable.
    """
    return _reset(_of_key(key), usage.quota_limits(key), by, reason)


def reset_organisation_quota(organisation: Organisation, by: Actor, reason: str = "") -> int:
    """As reset_quota, of the organisation's own counter; 0 if it has none."""
    return _reset(_of_organisation(organisation), usage.organisation_limits(organisation), by, reason)


def set_remaining(key: Key, remaining: int, by: Actor, reason: str = "", *, api_id: str | None = None) -> int:
    """Sets what is left of the key's quota: the key-level one, or the one that counts `api_id`. Returns what was left
    before.

    The period goes on. Raises ValidationError naming `quota_remaining` or `api_id`, StoreUnavailable.
    """
    correction = Correction(by, SET_REMAINING, _of_key(key), reason, remaining)
    done = carry_out(correction, usage.quota_limits(key), api_id)
    enter([done])
    [corrected] = done.corrected
    return max(0, corrected.limit.max - corrected.used_before)


def carry_out(
    correction: Correction, limits: Mapping[QuotaLimit, tuple[str, ...]], api_id: str | None = None
) -> CarriedOut:
    """Does it in the store; `limits` are the subject's. To be entered: until then its note tells of it, and once more
    it does nothing and answers the same. Raises as set_remaining.
    """
    if correction.action == RESET:
        return _carry_out_reset(correction, limits)
    limit, remaining = _chosen(limits, api_id), correction.remaining
    if isinstance(remaining, bool) or not isinstance(remaining, int) or not 0 <= remaining <= limit.max:
        raise ValidationError(
            {"quota_remaining": f"must be a whole number from 0 to the quota's maximum, {limit.max}, not {remaining!r}"}
        )
    used_before = check.assign(sync_store(), usage.snapshots, limit, limit.max - remaining, note=correction.note(limit))
    return CarriedOut(correction, [Corrected(limit, used_before)])


def _carry_out_reset(correction: Correction, limits: Iterable[QuotaLimit]) -> CarriedOut:
    counters = {limit.counter: limit for limit in limits}  # two policies may judge one counter
    return CarriedOut(
        correction,
        [
            Corrected(limit, check.reset(sync_store(), usage.snapshots, limit, note=correction.note(limit)))
            for limit in counters.values()
        ],
    )


def _reset(subject: Subject, limits: Iterable[QuotaLimit], by: Actor, reason: str) -> int:
    done = _carry_out_reset(Correction(by, RESET, subject, reason), limits)
    enter([done])
    return done.used_before


def _chosen(limits: Mapping[QuotaLimit, tuple[str, ...]], api_id: str | None) -> QuotaLimit:
    """The key-level quota comes first in `limits`."""
    if api_id is not None:
        for limit, api_ids in limits.items():
            if api_id in api_ids:
                return limit
        raise ValidationError({"api_id": f"the key has no quota on API {api_id!r}"})
    if not limits:
        raise ValidationError({"quota_remaining": "the key's quota is unlimited: nothing remains to be set"})
    return next(iter(limits))


def _of_key(key: Key) -> Subject:
    return Subject("key", key.pk, key.organisation_id)


def _of_organisation(organisation: Organisation) -> Subject:
    return Subject("organisation", organisation.pk, organisation.pk)
