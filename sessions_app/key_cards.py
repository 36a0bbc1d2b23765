"""What pages show of a key, in the admin and in the portal: status, policies, live usage, limits of each API."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from policies_app.durations import quota_text, rate_text
from policies_app.limits import effective_terms, merged_trigger_limits, threshold_label
from policies_app.models import Api
from sessions_app.explain import Sharing, sharing_of
from sessions_app.key_status import KeyStatus, status_of
from sessions_app.models import Key
from sessions_app.terms import Holder, read_holders
from sessions_app.usage import QuotaUsage
from sessions_app.usage_bars import UsageBar, live_quotas, usage_bars


@dataclass(frozen=True, slots=True)
class ApiRow:
    """The limits of a key on one API, in words. `url` is empty for an API that does not exist any more."""

    name: str
    url: str
    quota: str
    rate: str


@dataclass(frozen=True, slots=True)
class KeyCard:
    """A key as people see it. `bars` is None when the counter store does not answer."""

    key: Key
    hint: str
    status: KeyStatus
    policies: tuple[str, ...]
    thresholds: tuple[str, ...]
    bars: list[UsageBar] | None
    apis: tuple[ApiRow, ...]


def key_cards(keys: Sequence[Key], now: datetime, holders: Mapping[str, Holder] | None = None) -> list[KeyCard]:
    """Cards in the order of `keys`, with one call of the counter store for all. `credentials` should be prefetched;
    `holders` are the keys' holders, if they are read already.
    """
    holders = read_holders([(key.organisation_id, key.pk) for key in keys]) if holders is None else holders
    apis = Api.objects.in_bulk({api_id for holder in holders.values() for api_id in holder.api_ids()})
    names = {api.pk: api.name for api in apis.values()}
    for holder in holders.values():
        names |= holder.policy_names
    usage = live_quotas(keys, holders)
    return [
        _card(key, holders[key.pk], apis, names, None if usage is None else usage[key.pk], now)
        for key in keys
        if key.pk in holders
    ]


def sharing_shown(card: KeyCard) -> Sharing | None:
    """Who shares the card's counters (rule 5.6); costs nothing for a key that counts for itself."""
    return sharing_of(card.key) if any(bar.shared for bar in card.bars or ()) else None


def _card(
    key: Key,
    holder: Holder,
    apis: Mapping[str, Api],
    names: Mapping[str, str],
    quotas: list[QuotaUsage] | None,
    now: datetime,
) -> KeyCard:
    thresholds = merged_trigger_limits(holder.terms, holder.policies)
    credential = next(iter(key.credentials.all()), None)
    return KeyCard(
        key=key,
        hint=credential.hint if credential else "",
        status=status_of(holder, now),
        policies=tuple(names[policy.id] for policy in holder.policies if policy.id in names),
        thresholds=tuple(threshold_label(percent) for percent in thresholds),
        bars=None if quotas is None else usage_bars(quotas, names, now, thresholds),
        apis=tuple(_api_rows(holder, apis)),
    )


def _api_rows(holder: Holder, apis: Mapping[str, Api]) -> Iterable[ApiRow]:
    for api_id in holder.api_ids():
        terms, api = effective_terms(holder.terms, holder.policies, api_id), apis.get(api_id)
        if terms is None:
            continue
        yield ApiRow(
            name=api.name if api else api_id,
            url=settings.GATEWAY_PUBLIC_URL + api.listen_path if api and api.is_active else "",
            quota="not counted" if api and api.disable_quota else quota_text(terms.quota.limits),
            rate="not limited" if api and api.disable_rate_limit else rate_text(terms.rate.limits),
        )
