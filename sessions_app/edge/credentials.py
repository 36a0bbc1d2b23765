"""Where a caller's key stands in a request (rule 1.1). Pure: header values in, the raw key out."""

from collections.abc import Mapping

STANDARD_NAMES = (b"authorization", b"x-api-key")
SCHEME = b"bearer"


def header_names(auth_header_name: str = "") -> tuple[bytes, ...]:
    """The headers that may carry the key, in lower case and in order. An API's own name replaces them."""
    return (auth_header_name.lower().encode("latin-1", "replace"),) if auth_header_name else STANDARD_NAMES


def token_in(headers: Mapping[bytes, bytes], auth_header_name: str = "") -> str | None:
    """The raw key in these headers (names in lower case), or None when there is none."""
    for name in header_names(auth_header_name):
        if (value := headers.get(name)) and (token := _token(value)):
            return token
    return None


def carriers(headers: Mapping[bytes, bytes], auth_header_name: str = "") -> frozenset[bytes]:
    """The names of the headers that carry the key. What carries something else is not ours and is left alone."""
    token = token_in(headers, auth_header_name)
    return frozenset(
        name for name in header_names(auth_header_name) if token and _token(headers.get(name, b"")) == token
    )


def _token(value: bytes) -> str:
    """The value without `Bearer`, in any case. Another scheme is no scheme of ours: the whole value is looked up."""
    value = value.strip()
    if value[:6].lower() == SCHEME and (len(value) == 6 or value[6:7] in b" \t"):
        value = value[6:].lstrip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
