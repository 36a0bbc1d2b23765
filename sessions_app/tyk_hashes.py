"""How Tyk names keys in its storage: its hashes and its token forms. Pure.

A key that came from Tyk with nothing but its hash still opens, because the hash of what its user sends is the same.
Read in Tyk's source (internal/crypto): the hash is taken of the whole token, with seed 0, and printed as big-endian
hexadecimal digits; a token names its algorithm as `h` in base64 JSON, an older one is the organisation's id followed by
the key's own.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping

import mmh3


def _murmur32(token: bytes) -> str:
    return f"{mmh3.hash(token, signed=False):08x}"


def _murmur64(token: bytes) -> str:
    """The first half of the 128 bits."""
    return f"{mmh3.hash64(token, signed=False)[0]:016x}"


def _murmur128(token: bytes) -> str:
    return "".join(f"{half:016x}" for half in mmh3.hash64(token, signed=False))


ALGORITHMS: Mapping[str, Callable[[bytes], str]] = {
    "murmur32": _murmur32,
    "murmur64": _murmur64,
    "murmur128": _murmur128,
    "sha256": lambda token: hashlib.sha256(token).hexdigest(),
}
DIGITS: Mapping[str, int] = {"murmur32": 8, "murmur64": 16, "murmur128": 32, "sha256": 64}


def hash_of(algorithm: str, token: str) -> str:
    """The hash in Tyk's form. Raises KeyError for an algorithm that Tyk does not have."""
    return ALGORITHMS[algorithm](token.encode())


def algorithm_of(text: str) -> str | None:
    """The algorithm whose hashes look like this text, or None: no two have the same length."""
    if text.strip("0123456789abcdef"):
        return None
    return next((algorithm for algorithm, digits in DIGITS.items() if len(text) == digits), None)


def tokens_of(custom_id: str, organisation_id: str) -> list[str]:
    """The tokens that Tyk makes of a custom id: it lets callers send the bare id on APIs of that organisation."""
    forms = [f'{{"org":"{organisation_id}","id":"{custom_id}","h":"{algorithm}"}}' for algorithm in ALGORITHMS]
    return [*(base64.b64encode(form.encode()).decode() for form in forms), organisation_id + custom_id]


def custom_ids_of(token: str, organisation_id: str) -> list[str]:
    """The other way round: what callers may send instead of this token on APIs of the organisation."""
    members = members_of(token)
    if members.get("org") == organisation_id and members.get("id"):
        return [members["id"]]
    bare = token.removeprefix(organisation_id)
    return [bare] if bare and bare != token else []


def algorithms_of(token: str) -> tuple[str, ...]:
    """By which its hash can have been taken: the one that it names, else any."""
    named = members_of(token).get("h")
    if named is None:
        return tuple(ALGORITHMS)
    return (named if named in ALGORITHMS else "murmur64",)  # as Tyk does with a name that it does not know


def members_of(token: str) -> dict[str, str]:
    """What a token in Tyk's JSON form says: `org`, `id` and `h`; nothing for any other."""
    if not token.startswith("ey"):
        return {}
    try:
        content = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        return {}
    return {name: str(value) for name, value in content.items()} if isinstance(content, dict) else {}
