"""Reading JSON documents that people sent: strict about types, tolerant about order, exact about what is wrong where.

Both administration APIs read through this, so a wrong member is named the same way in each of them.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError

MAX_BYTES = 2**20
MAX_DEPTH = 40
# Without escapes there is neither NUL nor half a pair, without great exponents or endless digits no infinity: a look at
# the text spares one at each value. `import_tyk` reads a hundred thousand documents.
UNUSUAL = re.compile(rb"\\u|\d[eE]\+?\d{3}|\d{300}")
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `pointer` is a JSON pointer into the document; empty is the document itself."""

    pointer: str
    detail: str
    code: str = "invalid"

    def __str__(self) -> str:
        name = self.pointer.removeprefix("/").replace("/", ".").replace("~1", "/").replace("~0", "~")
        return f"{name}: {self.detail}" if name else self.detail


class DocumentError(ValueError):
    """A document that cannot be taken, with everything that is wrong in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class MalformedDocument(DocumentError):
    """Not JSON at all, or JSON that no database can keep."""

    def __init__(self, detail: str) -> None:
        super().__init__([Problem("", detail, "malformed")])


def refusal(pointer: str, detail: str, code: str = "invalid") -> DocumentError:
    """For one wrong member: `raise refusal("/alias", "must be …")`."""
    return DocumentError([Problem(pointer, detail, code)])


def escape(member: str) -> str:
    """A member's name inside a JSON pointer (RFC 6901)."""
    return member.replace("~", "~0").replace("/", "~1")


# --- JSON -------------------------------------------------------------------------------------------------------------


def parse_json(body: bytes) -> Any:
    """The JSON value in `body`. Raises MalformedDocument, also for NaN, infinities, NUL and lone surrogates."""
    try:
        value = _DECODER.decode(body.decode())
        if UNUSUAL.search(body) or body.count(b"{") + body.count(b"[") > MAX_DEPTH:
            _check_storable(value, 0)
    except UnicodeDecodeError:
        raise MalformedDocument("Request malformed: the body must be JSON in UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedDocument(
            f"Request malformed: no JSON at line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise MalformedDocument(f"Request malformed: nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise MalformedDocument(f"Request malformed: {error}") from None
    return value


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises MalformedDocument."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise MalformedDocument(f"Request malformed: must be a JSON object, not {brief(value)}")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the member {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return members


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_unique_members)


def _check_storable(value: Any, depth: int) -> None:
    """What JSON may say but PostgreSQL's text, jsonb and numbers cannot keep."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str) and ("\0" in value or (not value.isascii() and SURROGATE.search(value))):
        raise ValueError("texts must not hold NUL or half of a surrogate pair")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("numbers must be finite")
    if isinstance(value, list):
        for item in value:
            _check_storable(item, depth + 1)
    if isinstance(value, dict):
        for name, item in value.items():
            _check_storable(name, depth + 1)
            _check_storable(item, depth + 1)


def brief(value: Any) -> str:
    """A value as people see it in a message: JSON, cut short. Half a surrogate pair cannot be sent: it is escaped."""
    text = json.dumps(value, ensure_ascii=False, default=str).encode(errors="backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "…"


def is_number(value: Any) -> bool:
    """A finite JSON number; `true` is none."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


# --- members ----------------------------------------------------------------------------------------------------------


class Reader:
    """One JSON object, read member by member. `null` is as good as absent.

    Wrong members are collected; `finish` raises them all together. Members that nobody asked for are in `rest`.
    """

    def __init__(self, document: Any, pointer: str = "", problems: list[Problem] | None = None) -> None:
        self.pointer = pointer
        self.problems: list[Problem] = [] if problems is None else problems
        self.asked: set[str] = set()
        self.document: Mapping[str, Any] = document if isinstance(document, Mapping) else {}
        if not isinstance(document, Mapping):
            self.problems.append(Problem(pointer, f"must be a JSON object, not {brief(document)}"))

    def refuse(self, name: str, detail: str, code: str = "invalid") -> None:
        self.problems.append(Problem(f"{self.pointer}/{escape(name)}", detail, code))

    def finish(self) -> None:
        """Raises DocumentError if anything was wrong, here or in a nested object."""
        if self.problems:
            raise DocumentError(self.problems)

    def raw(self, name: str) -> Any:
        """The value of a member as it came, None if absent."""
        self.asked.add(name)
        return self.document.get(name)

    def skip(self, *names: str) -> None:
        """Members that are answered but never taken."""
        self.asked.update(names)

    def text(self, name: str, default: str = "", *, longest: int = 10_000) -> str:
        value = self.raw(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(name, f"must be a text, not {brief(value)}")
            return default
        if len(value) > longest:
            self.refuse(name, f"must have at most {longest} characters, not {len(value)}", "too_long")
        return value

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.raw(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.refuse(name, f"must be true or false, not {brief(value)}")
        return default

    def whole(self, name: str, default: int = 0, *, low: int, high: int, meaning: str = "") -> int:
        """A whole number; `meaning` completes "must be a whole number …"."""
        value = self.raw(name)
        if value is None:
            return default
        if not is_number(value) or value != int(value):
            self.refuse(name, f"must be a whole number{meaning}, not {brief(value)}")
            return default
        if not low <= value <= high:
            self.refuse(name, f"must be between {low} and {high}{meaning}, not {brief(value)}")
        return int(value)

    def texts(self, name: str) -> list[str]:
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.refuse(name, f"must be a list of texts, not {brief(value)}")
            return []
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A free JSON object; a copy."""
        return dict(self.nested(name).document)

    def nested(self, name: str) -> "Reader":
        """An object inside this one; an empty one if absent."""
        value = self.raw(name)
        return Reader({} if value is None else value, f"{self.pointer}/{escape(name)}", self.problems)

    def check(self, name: str, value: Any, validator: Callable[[Any], None]) -> None:
        """Runs a Django validator on a member."""
        try:
            validator(value)
        except ValidationError as error:
            self.refuse(name, " ".join(error.messages))

    def rest(self) -> dict[str, Any]:
        """Members that nobody asked for."""
        return {name: value for name, value in self.document.items() if name not in self.asked}

    def refuse_rest(self) -> None:
        for name in self.rest():
            self.refuse(name, f"is no member here; known are {', '.join(sorted(self.asked))}", "unknown")


def words_of(error: ValidationError | DocumentError) -> str:
    """What is wrong, for people."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def problems_of(error: ValidationError, pointers: Mapping[str, str] | None = None) -> list[Problem]:
    """A Django validation error as problems. `pointers` says where in the document a model's field stands."""
    if not hasattr(error, "error_dict"):
        return [Problem("", message) for message in error.messages]
    return [
        Problem(
            "" if field == "__all__" else (pointers or {}).get(field, f"/{field}"),
            " ".join(single.messages),
            str(single.code or "invalid"),
        )
        for field, errors in error.error_dict.items()
        for single in errors
    ]
