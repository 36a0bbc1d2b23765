"""Raw keys: how they look, how they are recognised, and the digest that stands for them everywhere else (rules 1.2,
1.3).
"""

import hashlib

from django.conf import settings

from organisations_app.secret_texts import is_mistyped, keyed_digest, new_secret_text

PREFIX = "tg_"
MAX_BYTES = 256
MIN_LENGTH = 3


def new_token() -> str:
    """`tg_<32 base62>_<6 base62 CRC32>`: 190 bits of randomness, recognisable by secret scanners."""
    return new_secret_text(PREFIX)


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
    """The same with the peppers that were replaced, newest first: a key made under one of them is still recognised."""
    return [keyed_digest(pepper, token) for pepper in settings.GATEWAY_KEY_PEPPER_FALLBACKS]


def pepper_mark() -> str:
    """Says which pepper a digest was made with, without saying the pepper: when no credential bears it, it may go."""
    return hashlib.sha256(b"tollgate pepper" + settings.GATEWAY_KEY_PEPPER.encode()).hexdigest()[:8]


def hint(token: str) -> str:
    """Prefix and last four, for people: `tg_…AbC4`. Short custom keys show less, never more than a third."""
    prefix = PREFIX if token.startswith(PREFIX) else ""
    return f"{prefix}…{token[-min(4, len(token) // 3) :]}"


def _is_sized(token: str) -> bool:
    return len(token) >= MIN_LENGTH and len(token.encode()) <= MAX_BYTES
