"""Where webhooks go: what a target URL may be, and which of them lead to the same receiver. Pure."""

from typing import Any
from urllib.parse import urlsplit

from monitors_app.guard import REFUSED_PORTS
from organisations_app.documents import brief


def target_path_error(url: Any) -> str:
    if url == "":
        return ""
    hint = "write an absolute URL such as https://hooks.example/quota, without user and password"
    if not isinstance(url, str) or len(url) > 1000:
        return f"must be a URL of at most 1000 characters; {hint}"
    if not url.isprintable() or " " in url or "\\" in url:
        return f"has spaces, backslashes or control characters; {hint}"
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        )
        (parts.hostname or "").encode("idna")
        refused = usable and target_port(url) in REFUSED_PORTS
    except ValueError:
        usable = refused = False
    if refused:
        return f"has port {target_port(url)}, where no webhook receiver listens; use 443, 80 or one above 1023"
    return "" if usable else f"{brief(url)} is no usable target; {hint}"


def target_port(url: str) -> int:
    """The port that a usable target URL means."""
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def target_of(url: str) -> str:
    """Host and port of a usable target URL, as `Delivery.target` has them: what is slow or dead as one."""
    return f"{urlsplit(url).hostname}:{target_port(url)}"[:270]
