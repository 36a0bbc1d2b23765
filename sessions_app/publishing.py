"""Tells the counter store of changed configuration, so that the next request sees it on every node (rule 1.5)."""

import logging
from collections.abc import Iterable, Sequence

from organisations_app import versions
from sessions_app.engine import counters
from sessions_app.engine.types import StoreUnavailable
from sessions_app.engine.wire import Call
from sessions_app.store import sync_store

log = logging.getLogger(__name__)


def publish(scopes: Iterable[str]) -> int:
    """Publishes the current numbers of these scopes; returns how many scopes the store knows now.

    A store that is down is no error: the scopes stay marked and are swept by `publish_pending`.
    """
    numbers = versions.numbers(scopes)
    try:
        sync_store().call_many([call for scope, number in numbers.items() for call in _calls(scope, number)])
    except StoreUnavailable as error:
        log.warning("configuration is not published yet, the counter store is down: %s", error)
        return 0
    versions.mark_published(numbers)
    return len(numbers)


def overtake(scopes: Sequence[str]) -> int:
    """Makes the database's numbers greater than the store's, and publishes them; returns how many lagged.

    For a database that came back from a backup: its numbers are older than what the store has seen, so every grant
    that is compiled from it would be called stale. Raises StoreUnavailable.
    """
    stored = [
        counters.parse_version(reply) or 0 for reply in sync_store().call_many([_read(scope) for scope in scopes])
    ]
    numbers = versions.numbers(scopes)
    lagging = {scope: seen + 1 for scope, seen in zip(scopes, stored, strict=True) if seen > numbers[scope]}
    versions.raise_to(lagging)
    publish(lagging)
    return len(lagging)


def _read(scope: str) -> Call:
    [first, *_] = _calls(scope, 0)
    return counters.read_version(first.key)


def _calls(scope: str, number: int) -> list[Call]:
    kind, _, name = scope.partition(":")
    if kind == versions.GATEWAY:
        return counters.publish_gateway(number)
    if kind == "org":
        return [counters.publish_organisation(name, number)]
    if kind == "credentials":
        return [counters.publish_credentials(name, number)]
    organisation_id, _, key_id = name.rpartition(":")  # an organisation's id may hold a colon, a key's never does
    return [counters.publish_key(organisation_id, key_id, number)]
