"""Every name in the counter store, in one place.

Organisations are spread over 64 fixed buckets; all keys of a bucket carry its hash tag, so one function call may touch
them together on a Redis Cluster, and a worker has 64 places to look at, whatever the number of organisations.
"""

import base64
import hashlib
import zlib
from functools import lru_cache
from urllib.parse import quote, unquote

BUCKETS = 64


def bucket_of(organisation_id: str) -> int:
    return zlib.crc32(organisation_id.encode()) % BUCKETS


@lru_cache(maxsize=BUCKETS)
def prefix(bucket: int) -> str:
    return f"tg:{{b{bucket:02d}}}"


def _home(organisation_id: str) -> str:
    return prefix(bucket_of(organisation_id))


# --- versions (rule 1.5) ----------------------------------------------------------------------------------------------


def gateway_version(bucket: int) -> str:
    return f"{prefix(bucket)}:v"


def organisation_version(organisation_id: str) -> str:
    return f"{_home(organisation_id)}:v:o:{organisation_id}"


def key_version(organisation_id: str, key_id: str) -> str:
    return f"{_home(organisation_id)}:v:k:{key_id}"


def credentials_version(shard: str) -> str:
    """Moves with every credential issued in a shard of digests. In one bucket: strangers have no organisation."""
    return f"{prefix(0)}:v:c:{shard}"


# --- counters ---------------------------------------------------------------------------------------------------------


def key_counter(organisation_id: str, key_id: str, scope: str = "") -> str:
    """`scope` is "", `policy:<id>` or `api:<id>` (rules 3.1, 3.3)."""
    return f"{_home(organisation_id)}:c:k:{key_id}{_suffix(scope)}"


def organisation_counter(organisation_id: str) -> str:
    return f"{_home(organisation_id)}:c:o:{organisation_id}"


def subject_counter(organisation_id: str, subject: str, scope: str = "") -> str:
    """The counter of a custom rate limit key (section 5), by a digest of the subject; organisations never share."""
    length = len(organisation_id.encode())
    digest = hashlib.blake2b(f"{length}:{organisation_id}{subject}".encode(), digest_size=18).digest()
    return f"{_home(organisation_id)}:c:s:{base64.urlsafe_b64encode(digest).decode()}{_suffix(scope)}"


def _suffix(scope: str) -> str:
    return f"|{scope}" if scope else ""


def key_of_counter(counter: str) -> str:
    """The id of the key that a counter belongs to alone; empty for an organisation's and for shared ones."""
    return counter.partition("}:c:k:")[2].partition("|")[0]


def is_shared(counter: str) -> bool:
    """Whether it is the counter of a custom rate limit key."""
    return "}:c:s:" in counter


def bucket_of_counter(counter: str) -> int:
    """The bucket that a counter's name carries. Raises ValueError for anything that is no counter."""
    head, tag, _ = counter[:9].partition("{b")
    if head != "tg:" or not tag or counter[7:11] != "}:c:":
        raise ValueError(f"{counter!r} is not the name of a counter")
    return int(counter[5:7])


# --- what the worker reads --------------------------------------------------------------------------------------------


def outbox(bucket: int) -> str:
    return f"{prefix(bucket)}:out"


def dirty(bucket: int) -> str:
    return f"{prefix(bucket)}:dirty"


def dirty_in_work(bucket: int) -> str:
    return f"{prefix(bucket)}:dirty:work"


def dirty_generation(bucket: int) -> str:
    return f"{prefix(bucket)}:dirty:gen"


def hourly(bucket: int) -> str:
    return f"{prefix(bucket)}:h"


def touched_hours(bucket: int) -> str:
    """Stems of the fields of the hourly hash that changed since the worker last copied them."""
    return f"{prefix(bucket)}:h:touched"


def touched_hours_in_work(bucket: int) -> str:
    return f"{prefix(bucket)}:h:work"


def touched_hours_generation(bucket: int) -> str:
    return f"{prefix(bucket)}:h:gen"


def notes(bucket: int) -> str:
    """What people did to counters, until the audit has it."""
    return f"{prefix(bucket)}:notes"


def usage_subject(organisation_id: str, key_id: str, api_id: str) -> str:
    """The middle of a field of the hourly hash, `<hour>|<subject>|p` or `|d`. Ids are quoted."""
    return "|".join(quote(part, safe="") for part in (organisation_id, key_id, api_id))


def parse_usage_subject(subject: str) -> tuple[str, str, str]:
    """(organisation id, key id, API id)."""
    organisation_id, key_id, api_id = (unquote(part) for part in subject.split("|"))
    return organisation_id, key_id, api_id


def source_mark(source: str) -> str:
    """A limit's source, short enough for a counter's list of fired thresholds, and free of its separators."""
    if source in ("key", "org"):
        return source
    digest = hashlib.blake2b(source.encode(), digest_size=6).digest()
    return base64.urlsafe_b64encode(digest).decode()
