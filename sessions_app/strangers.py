"""Tokens that open no key: remembered, so that a flood of them reaches neither the database nor a growing cache (rule
1.6).

Three lines of defence, in this order: the checksum (tokens.py), a bounded memory of digests that the database did not
know, and a brake on how often one address may make us ask. What is remembered is only believed while no credential of
the same shard was issued since: the shard's version in the counter store says so, so that a key made a moment ago
works at once (rule 1.5).
"""

import ipaddress
import time
from dataclasses import dataclass
from functools import lru_cache

from organisations_app import versions
from sessions_app.recency import RecentlyUsed

REMEMBERED = 50_000
SHARD_DIGITS = 2

# An address that sends nothing but unknown keys may cause this many look-ups at once, and then so many a second.
BURST = 1000
LOOKUPS_PER_SECOND = 100
ADDRESSES = 10_000

_unknown: RecentlyUsed[tuple[str, str], int] = RecentlyUsed(REMEMBERED)
_brakes: "RecentlyUsed[str, _Bucket]" = RecentlyUsed(ADDRESSES)


def shard_of(digest: str) -> str:
    """Digests are spread over 256 shards, so that issuing keys side by side does not wait for one row."""
    return digest[:SHARD_DIGITS]


def credentials_scope(digest: str) -> str:
    """The configuration version that moves with every credential issued in the digest's shard."""
    return f"credentials:{shard_of(digest)}"


ALL_SCOPES = tuple(f"credentials:{shard:0{SHARD_DIGITS}x}" for shard in range(16**SHARD_DIGITS))


def issued_number(digest: str) -> int:
    """The shard's version in the database. To be read before the credential is looked for."""
    scope = credentials_scope(digest)
    return versions.numbers([scope])[scope]


def remember(digest: str, api_id: str, number: int) -> None:
    """The database does not know this digest on this API, as of version `number` of its shard.

    A custom id of Tyk's opens a key on APIs of its organisation only, hence the API.
    """
    _unknown.put((digest, api_id), number + 1)  # never 0, which is no value


def remembered(digest: str, api_id: str) -> int | None:
    """The shard's version at which the digest was unknown on this API, or None if we know nothing."""
    found = _unknown.get((digest, api_id))
    return None if found is None else found - 1


def forget_all() -> None:
    """For tests, whose databases come and go."""
    _unknown.clear()
    _brakes.clear()


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float

    def left_now(self) -> float:
        return min(BURST, self.left + (time.monotonic() - self.at) * LOOKUPS_PER_SECOND)


def is_braked(address: str) -> bool:
    """Whether this address has to wait before it may cause another look-up. "" is never braked."""
    bucket = _brakes.get(_site_of(address))
    return bucket is not None and bucket.left_now() < 1


def count(address: str) -> None:
    """This address caused a look-up of an unknown key."""
    if address:
        site = _site_of(address)
        bucket = _brakes.get(site) or _Bucket(BURST, time.monotonic())
        bucket.left, bucket.at = bucket.left_now() - 1, time.monotonic()
        _brakes.put(site, bucket)


@lru_cache(maxsize=1000)
def _site_of(address: str) -> str:
    """Whoever has one IPv6 address has the 2**64 of its network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # of a Unix socket
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
