"""The files that Tyk's data comes in: a JSON document, a folder of them, or lines. Says exactly where each stood."""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from organisations_app.documents import MalformedDocument, brief, escape, parse_json

# Members of a line that say what the line is about; the first that is there counts.
NAME_MEMBERS = ("key", "id", "name", "_id", "key_hash", "hash")
HASH_MEMBERS = ("key_hash", "hash")
CONTENT_MEMBERS = ("session", "value", "data")
# Of our own export: how the key is stored, beside its session.
OWN_MEMBERS = ("key_id", "pepper", "hint", "other_credentials")
BESIDE_CONTENT = frozenset({*NAME_MEMBERS, *OWN_MEMBERS, "algorithm", "ttl", "pttl", "expires_at", "type"})
SINGLE_POLICY = ("access_rights", "org_id", "quota_max", "rate", "partitions")
LONGEST_LINE = 8 * 2**20
Item = TypeVar("Item")


class SourceError(Exception):
    """A file, or a place in it, that cannot be read. The message begins with the place."""

    def __init__(self, place: str, reason: str) -> None:
        self.place, self.reason = place, reason
        super().__init__(f"{place}: {reason}")


@dataclass(frozen=True, slots=True)
class Row:
    """One document and where it stood: `place` is the file, then a line or a JSON pointer. `name` is "" without one.

    `members` are those that stand beside the content, such as an algorithm; `named_by` is the member with the name.
    """

    place: str
    name: str
    content: Any
    named_by: str = ""
    members: Mapping[str, Any] = field(default_factory=dict)


Source = Iterator[Row | SourceError]


def read_document(path: Path) -> Any:
    """The JSON value in a file. Raises SourceError with line, column and reason."""
    try:
        return parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from None
    except MalformedDocument as error:
        raise SourceError(str(path), _reason(error)) from None


def _reason(error: MalformedDocument) -> str:
    return str(error).removeprefix("Request malformed: ").replace("the body", "the file")


# --- definitions and policies -----------------------------------------------------------------------------------------


def api_rows(path: Path) -> Source:
    """API definitions: a folder with one or several in each file, or such a file."""
    for file in _files(path):
        yield from _guarded(file, _apis_in)


def policy_rows(path: Path) -> Source:
    """Policies: an object of them by id, a list, a single one, or a folder of such files."""
    for file in _files(path):
        yield from _guarded(file, _policies_in)


def _files(path: Path) -> Sequence[Path]:
    return sorted(path.glob("*.json")) if path.is_dir() else [path]


def _guarded(file: Path, rows_in: Any) -> Source:
    try:
        yield from rows_in(str(file), read_document(file))
    except SourceError as error:
        yield error


def _apis_in(place: str, document: Any) -> Iterator[Row]:
    for inner, each in _listed(place, document, ("apis",)):
        wrapped = isinstance(each, dict) and isinstance(each.get("api_definition"), dict)
        yield Row(f"{inner}/api_definition" if wrapped else inner, "", each["api_definition"] if wrapped else each)


def _policies_in(place: str, document: Any) -> Iterator[Row]:
    by_id = isinstance(document, dict) and not any(name in document for name in (*SINGLE_POLICY, "Data", "policies"))
    if by_id:
        yield from (Row(f"{place}#/{escape(name)}", name, each) for name, each in document.items())
    else:
        yield from (Row(inner, "", each) for inner, each in _listed(place, document, ("Data", "policies")))


def _listed(place: str, document: Any, wrappers: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Documents with their places: of a list, of a list in one of the wrapping members, or the document itself."""
    pointer = ""
    for wrapper in wrappers:
        if isinstance(document, dict) and isinstance(document.get(wrapper), list):
            document, pointer = document[wrapper], f"/{wrapper}"
    if isinstance(document, list):
        yield from ((f"{place}#{pointer}/{index}", each) for index, each in enumerate(document))
    else:
        yield place, document


# --- keys, organisation sessions and counters -------------------------------------------------------------------------


def named_rows(path: Path) -> Source:
    """Rows with names: one JSON object a line, or one document: an object by name, or a list of objects.

    Lines are read one by one, whatever their number; a document is read as a whole.
    """
    try:
        with path.open("rb") as file:
            first = next((line for line in file if line.strip()), b"")
            is_lines = not first or _is_document(first)
            file.seek(0)
            yield from _of_lines(path, file) if is_lines else _guarded(path, _named_in)
    except OSError as error:
        yield SourceError(str(path), error.strerror or str(error))


def _is_document(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return not line.lstrip().startswith((b"{", b"[")) and bool(line.strip())


def _of_lines(path: Path, file: Any) -> Source:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            yield from _named_in(place, parse_json(line.strip().removeprefix(b"\xef\xbb\xbf")))
        except MalformedDocument as error:
            yield SourceError(place, _reason(error))
        except SourceError as error:
            yield error


def _named_in(place: str, document: Any) -> Iterator[Row]:
    if isinstance(document, dict) and isinstance(document.get("keys"), list):
        document = document["keys"]
    if isinstance(document, list):
        for index, each in enumerate(document):
            yield from _named_in(f"{place}#/{index}", each)
    elif not isinstance(document, dict):
        raise SourceError(place, f"must be a JSON object, not {brief(document)}")
    elif member := next((name for name in NAME_MEMBERS if isinstance(document.get(name), str)), ""):
        yield _of_members(place, document, member)
    else:
        for name, content in document.items():
            yield Row(f"{place}#/{escape(name)}", name, _parsed(content))


def _of_members(place: str, document: Mapping[str, Any], member: str) -> Row:
    content_member = next((name for name in CONTENT_MEMBERS if name in document), None)
    if content_member is None:
        content: Any = {name: value for name, value in document.items() if name not in BESIDE_CONTENT}
        members: dict[str, Any] = {name: value for name, value in document.items() if name in BESIDE_CONTENT}
    else:
        content = _parsed(document[content_member])
        members = {name: value for name, value in document.items() if name != content_member}
    return Row(place, document[member], content, member, members)


def _parsed(content: Any) -> Any:
    """A dump of Redis has sessions as texts."""
    if isinstance(content, str) and content.lstrip().startswith("{"):
        try:
            return parse_json(content.encode())
        except MalformedDocument:
            return content
    return content


def read_ahead(rows: Iterator[Item], many: int) -> Iterator[Item]:
    """The same, read by a thread: the next `many` while who asked for the last ones waits for a database."""
    with ThreadPoolExecutor(1, "reader") as reader:
        ahead = reader.submit(_next, rows, many)
        while found := ahead.result():
            ahead = reader.submit(_next, rows, many)
            yield from found


def _next(rows: Iterator[Item], many: int) -> list[Item]:
    return list(islice(rows, many))
