"""Paths as servers behind us will understand them, so that nobody is judged for one API and served by another. Pure."""

from posixpath import normpath
from urllib.parse import unquote


def plain(path: str) -> str:
    """A decoded path without dot segments and doubled slashes (RFC 3986 section 5.2.4). Most are plain already."""
    if "//" not in path and "/." not in path:
        return path
    normal = normpath(path if path.startswith("/") else f"/{path}")
    normal = f"/{normal.lstrip('/')}"
    ends_in_folder = path.endswith(("/", "/.", "/.."))
    return f"{normal}/" if ends_in_folder and normal != "/" else normal


def plain_target(target: str) -> str:
    """The path of a request target as proxies report it, such as `/orders/%7Bid%7D?x=1`: decoded and plain."""
    path = target.partition("?")[0]
    return plain(unquote(path) if "%" in path else path)


def rest_of(raw_path: str, listen_path: str) -> str | None:
    """What a raw path asks for under a listen path, byte by byte and with its slash; "" for `/orders` under `/orders/`.

    None if it is not under it as it stands: the path that was matched is another one than a server behind us will see.
    """
    if raw_path.startswith(listen_path):
        return raw_path[len(listen_path) - 1 :]
    depth = listen_path.count("/")
    parts = raw_path.split("/", depth)
    begin = unquote("/".join(parts[:depth]))
    if begin != listen_path[:-1]:
        return None
    return f"/{parts[depth]}" if len(parts) > depth else ""
