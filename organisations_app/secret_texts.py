"""Secret texts as this gateway makes them: prefix, 32 random base62 signs and their CRC32.

Secret scanners recognise them, and a mistyped one is told apart without a look-up (rule 1.2). Of each only a keyed
digest is stored.
"""

import hmac
import re
import secrets
import string
import zlib

ALPHANUMERIC = string.digits + string.ascii_letters
SECRET_LENGTH = 32
CHECKSUM_LENGTH = 6
FORM = re.compile(rf"([0-9A-Za-z]{{{SECRET_LENGTH}}})_([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})")


def new_secret_text(prefix: str) -> str:
    """`<prefix><32 base62>_<6 base62 CRC32>`: 190 bits of randomness."""
    secret = "".join(secrets.choice(ALPHANUMERIC) for _ in range(SECRET_LENGTH))
    return f"{prefix}{secret}_{checksum(secret)}"


def is_mistyped(prefix: str, text: str) -> bool:
    """Ours by its form, but with a wrong checksum."""
    found = _match(prefix, text)
    return found is not None and found[2] != checksum(found[1])


def is_intact(prefix: str, text: str) -> bool:
    """Ours by its form, and the checksum is right."""
    found = _match(prefix, text)
    return found is not None and found[2] == checksum(found[1])


def _match(prefix: str, text: str) -> re.Match[str] | None:
    return FORM.fullmatch(text, len(prefix)) if text.startswith(prefix) else None


def keyed_digest(pepper: str, text: str) -> str:
    """HMAC-SHA256 in hexadecimal: what is stored instead of the text (rule 1.3)."""
    return hmac.digest(pepper.encode(), text.encode(), "sha256").hex()


def checksum(secret: str) -> str:
    number, text = zlib.crc32(secret.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHANUMERIC))
        text = ALPHANUMERIC[digit] + text
    return text
