"""What a name in Tyk's storage says: whose session or counter it is, and whether it is a key or only its hash. Pure."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from organisations_app.secret_texts import ALPHANUMERIC
from sessions_app import tokens, tyk_hashes
from tyk_migration.sources import HASH_MEMBERS, Row

KEY_PREFIX = "apikey-"
ORGANISATION_PREFIXES = ("orgkey.", "orgkey-")
COUNTER_PREFIX = "quota-"
AUTO = "auto"
ID_LETTERS = 16
KEY_ID = re.compile(r"key_[0-9A-Za-z]{1,28}")
OWN = "tollgate"  # a digest of ours, from an export


class NameRefused(ValueError):
    """A name that cannot be taken; the message says why and what helps."""


@dataclass(frozen=True)
class Identity:
    """A key as its row names it: the raw `token`, or a `hash` with its algorithm. An export of ours has its own digests
    as hashes, the `pepper` that they were made with, and the key's id.
    """

    name: str
    token: str = ""
    algorithm: str = ""
    hash: str = ""
    pepper: str = ""
    key_id: str = ""

    @cached_property
    def digests(self) -> list[str]:
        """Under which a credential of it may be stored."""
        if self.algorithm == OWN:
            return [self.hash]
        return list(tokens.names_of(self.token)) if self.token else tokens.digests_of_hash(self.algorithm, self.hash)

    @cached_property
    def own_id(self) -> str:
        """Of its key here, by which it is found again once it was used or rotated: as it was exported, or derived from
        the name, always the same and saying nothing about it.
        """
        if self.key_id:
            return self.key_id
        digest = hashlib.sha256(b"key id" + self.digests[0].encode()).digest()
        number = int.from_bytes(digest) % len(ALPHANUMERIC) ** ID_LETTERS  # small numbers are divided faster
        letters = []
        for _ in range(ID_LETTERS):
            number, digit = divmod(number, len(ALPHANUMERIC))
            letters.append(ALPHANUMERIC[digit])
        return "key_" + "".join(letters)

    @property
    def shown(self) -> str:
        """For a report, which must not show raw keys."""
        return tokens.hint(self.token) if self.token else f"{self.hash[:12]}…"


@dataclass(frozen=True, slots=True)
class Named:
    """A row, and the key that it is about."""

    row: Row
    identity: Identity

    @property
    def who(self) -> str:
        return f"key {self.identity.shown} ({self.row.place})"


def identify(row: Row, hashed: str | None) -> Identity:
    """The key that a row is about. `hashed` names an algorithm, AUTO tells it by length, None means raw keys.

    Raises NameRefused.
    """
    name = row.name.removeprefix(KEY_PREFIX)
    if row.members.get("algorithm") == OWN:
        return _own(row, name)
    if row.named_by in HASH_MEMBERS:
        return _hashed(name, _text(row, "algorithm") or hashed or AUTO)
    if hashed is None or (hashed == AUTO and tyk_hashes.algorithm_of(name) is None):
        return _raw(name)
    return _hashed(name, hashed)


def _raw(name: str) -> Identity:
    if message := tokens.token_error(name):
        raise NameRefused(message)
    return Identity(name, token=name)


def _hashed(name: str, algorithm: str) -> Identity:
    looks_like = tyk_hashes.algorithm_of(name)
    if algorithm == AUTO:
        algorithm = looks_like or ""
    if algorithm not in tyk_hashes.ALGORITHMS:
        known = ", ".join(tyk_hashes.DIGITS)
        raise NameRefused(f"{algorithm or 'its length'} names no algorithm of Tyk's; known are {known}")
    if looks_like != algorithm:
        digits = tyk_hashes.DIGITS[algorithm]
        found = f"it has the form of {looks_like}" if looks_like else "it has not"
        raise NameRefused(f"a {algorithm} hash has {digits} hexadecimal digits in lower case, {found}; see --hashed")
    return Identity(name, algorithm=algorithm, hash=name)


def _own(row: Row, name: str) -> Identity:
    pepper = _text(row, "pepper")
    if pepper.partition(":")[0] not in tokens.known_marks():
        raise NameRefused(
            f"its hash was made with another pepper (mark {pepper}): give this gateway the exporting one's "
            "GATEWAY_KEY_PEPPER, or add that to GATEWAY_KEY_PEPPER_FALLBACKS"
        )
    if len(name) != 64 or name.strip("0123456789abcdef"):
        raise NameRefused("a hash of ours has 64 hexadecimal digits")
    key_id = _text(row, "key_id")
    if key_id and not KEY_ID.fullmatch(key_id):
        raise NameRefused(f"{key_id!r} is no key id: key_ and up to 28 letters and digits")
    return Identity(name, algorithm=OWN, hash=name, pepper=pepper, key_id=key_id)


def _text(row: Row, member: str) -> str:
    value: Any = row.members.get(member, "")
    return value if isinstance(value, str) else ""


def organisation_named_by(name: str) -> str | None:
    """The organisation whose session object has this name; None for a key's."""
    for prefix in ORGANISATION_PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return None
