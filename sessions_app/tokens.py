"""Raw keys: how they look, how they are recognised, and the digest that stands for them everywhere else (rules 1.2,
1.3).
"""

import hashlib
from functools import lru_cache

from django.conf import settings

from organisations_app.secret_texts import is_mistyped, keyed_digest, new_secret_text
from sessions_app import tyk_hashes

PREFIX = "tg_"
MAX_BYTES = 256
MIN_LENGTH = 3


def new_token() -> str:
    """`tg_<32 base62>_<6 base62 CRC32>`: 190 bits of randomness, recognisable by secret scanners."""
    return new_secret_text(PREFIX)


def is_ours(token: str) -> bool:
    """Made here by its form, so that it never came from elsewhere."""
    return token.startswith(PREFIX)


def may_exist(token: str) -> bool:
    """False for what needs no look-up: too long, or in our format with a wrong checksum."""
    if not _is_sized(token):
        return False
    return not is_mistyped(PREFIX, token)


def token_error(token: str) -> str:
    """Why a custom key cannot be taken, or an empty text (rule 1.2)."""
    if not _is_sized(token):
        return f"A key has {MIN_LENGTH} to {MAX_BYTES} characters."
    if not token.isprintable() or token != token.strip():
        return "A key has printable characters only, and no space at its ends."
    return "" if may_exist(token) else "The key has this gateway's format, but its checksum is wrong."


def digest(token: str) -> str:
    """HMAC-SHA256 with the pepper, in hexadecimal: what is stored and looked up instead of the key."""
    return keyed_digest(settings.GATEWAY_KEY_PEPPER, token)


def older_digests(token: str) -> list[str]:
    """Under what else a credential of this token may be stored: with peppers that were replaced, newest first, then by
    the hash that it came with from Tyk.
    """
    older = [keyed_digest(pepper, token) for pepper in settings.GATEWAY_KEY_PEPPER_FALLBACKS]
    return older if is_ours(token) else older + _digests_of_hashes(token)


def names_of(token: str, organisation_id: str = "") -> dict[str, str]:
    """Every digest under which a credential of this token may be stored, the best first, with the token it stands for.

    With an organisation, the token may also be a custom id of Tyk's: there it stands for tokens made of both.
    """
    names = dict.fromkeys([digest(token), *older_digests(token)], token)
    for made in tyk_hashes.tokens_of(token, organisation_id) if organisation_id else ():
        names |= dict.fromkeys([digest(made), *older_digests(made)], made)
    return names


def pepper_mark() -> str:
    """Says which pepper a digest was made with, without saying the pepper: when no credential bears it, it may go."""
    return _mark(settings.GATEWAY_KEY_PEPPER)


def known_marks() -> list[str]:
    """Of the current pepper and of those that it replaced."""
    return [_mark(pepper) for pepper in (settings.GATEWAY_KEY_PEPPER, *settings.GATEWAY_KEY_PEPPER_FALLBACKS)]


def _mark(pepper: str) -> str:
    return hashlib.sha256(b"tollgate pepper" + pepper.encode()).hexdigest()[:8]


# --- keys that came with nothing but a hash ---------------------------------------------------------------------------


def hashed_credential(algorithm: str, foreign_hash: str) -> tuple[str, str, str]:
    """Digest, pepper mark and hint of a key of which only Tyk's hash is known. The mark names the algorithm."""
    digest = _digest_of_hash(settings.GATEWAY_KEY_PEPPER, algorithm, foreign_hash)
    return digest, f"{pepper_mark()}:{algorithm}", f"{algorithm} …{foreign_hash[-4:]}"


def digests_of_hash(algorithm: str, foreign_hash: str) -> list[str]:
    """Under which a credential with this hash may be stored, with the newest pepper first."""
    peppers = (settings.GATEWAY_KEY_PEPPER, *settings.GATEWAY_KEY_PEPPER_FALLBACKS)
    return [_digest_of_hash(pepper, algorithm, foreign_hash) for pepper in peppers]


def _digests_of_hashes(token: str) -> list[str]:
    hashes = {algorithm: tyk_hashes.hash_of(algorithm, token) for algorithm in tyk_hashes.algorithms_of(token)}
    return [name for algorithm, text in hashes.items() for name in digests_of_hash(algorithm, text)]


def _digest_of_hash(pepper: str, algorithm: str, foreign_hash: str) -> str:
    return keyed_digest(_pepper_of_hashes(pepper), f"{algorithm}:{foreign_hash}")


@lru_cache(maxsize=8)
def _pepper_of_hashes(pepper: str) -> str:
    """One of their own: else who sends `murmur64:<hash>` as a key would be let in by the hash alone."""
    return keyed_digest(pepper, "hashes of another gateway")


def hint(token: str) -> str:
    """Prefix and last four, for people: `tg_…AbC4`. Short custom keys show less, never more than a third."""
    prefix = PREFIX if is_ours(token) else ""
    return f"{prefix}…{token[-min(4, len(token) // 3) :]}"


def _is_sized(token: str) -> bool:
    return len(token) >= MIN_LENGTH and len(token.encode()) <= MAX_BYTES
