"""Custom rate limit keys: `rate_limit_pattern`, parsed once, evaluated on a session's metadata (section 5). Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

FIELD = "rate_limit_pattern"
REFERENCE = re.compile(r"\$(?:tyk_meta|meta)\.([A-Za-z0-9_.-]+)")
LOOKS_LIKE_REFERENCE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*\.")


class PatternError(ValueError):
    """The pattern has a reference that means nothing; the message says which and what is allowed."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Parts that were separated by `|`; each a sequence of literals (str) and references (a tuple with the name)."""

    parts: tuple[tuple[str | tuple[str], ...], ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(piece[0] for part in self.parts for piece in part if isinstance(piece, tuple))

    def subject(self, meta_data: Mapping[str, Any]) -> str | None:
        """The custom subject, or None for the credential itself: when every referenced value is empty (rule 5.4)."""
        values = {name: value_text(meta_data.get(name)) for name in self.names}
        if self.names and not any(values.values()):
            return None
        escaped = {name: value.replace("\\", "\\\\").replace("|", "\\|") for name, value in values.items()}
        return "|".join(
            "".join(escaped[piece[0]] if isinstance(piece, tuple) else piece for piece in part) for part in self.parts
        )


def parse(text: Any) -> Pattern | None:
    """None for no pattern at all. Raises PatternError (rule 5.2)."""
    if text is None or text == "":
        return None
    if not isinstance(text, str):
        raise PatternError(f"{FIELD} must be a text such as $tyk_meta.DeveloperID|$tyk_meta.PlanID, not {text!r}")
    return Pattern(tuple(_parse_part(part, text) for part in text.split("|")))


def _parse_part(part: str, text: str) -> tuple[str | tuple[str], ...]:
    pieces: list[str | tuple[str]] = []
    position = 0
    for found in REFERENCE.finditer(part):
        pieces += [_literal(part[position : found.start()], text), (found[1],)]
        position = found.end()
    pieces.append(_literal(part[position:], text))
    return tuple(piece for piece in pieces if piece)


def _literal(literal: str, text: str) -> str:
    if wrong := LOOKS_LIKE_REFERENCE.search(literal):
        raise PatternError(
            f"{FIELD} {text!r}: {literal[wrong.start() :]!r} is no reference; "
            "write $tyk_meta.NAME (letters, digits, _ - .)"
        )
    return literal


def value_text(value: Any) -> str:
    """A metadata value as text: numbers in shortest form, lists comma-joined; null, objects and missing are empty
    (rule 5.3).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number_text(value)
    if isinstance(value, list | tuple):
        return ",".join(filter(None, map(value_text, value)))
    return value if isinstance(value, str) else ""


def _number_text(number: float) -> str:
    """The fewest digits that mean this number, never with an exponent: two numbers never share a text."""
    return str(int(number)) if number == int(number) else format(Decimal(repr(number)), "f")
