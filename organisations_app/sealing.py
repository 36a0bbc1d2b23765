"""Secrets that must be read again: encrypted at rest with a key derived from SECRET_KEY (and, for reading, its
fallbacks).
"""

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class SealBroken(ValueError):
    """The text was sealed with a SECRET_KEY that is not configured any more."""


def seal(text: str) -> str:
    """Encrypts; the empty text stays empty."""
    return _fernets(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).encrypt(text.encode()).decode() if text else ""


def unseal(sealed: str) -> str:
    """Decrypts what `seal` made. Raises SealBroken."""
    if not sealed:
        return ""
    try:
        return _fernets(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise SealBroken("sealed with another SECRET_KEY; add the old one to SECRET_KEY_FALLBACKS") from None


@lru_cache(maxsize=4)
def _fernets(*secret_keys: str) -> MultiFernet:
    return MultiFernet([Fernet(_derive(secret_key)) for secret_key in secret_keys])


def _derive(secret_key: str) -> bytes:
    return base64.urlsafe_b64encode(HKDF(SHA256(), 32, salt=None, info=b"tollgate sealing").derive(secret_key.encode()))
