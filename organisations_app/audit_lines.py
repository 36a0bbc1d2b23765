"""An audit entry as people read it: one line for each member that changed, however deep it lies. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = ""


@dataclass(frozen=True, slots=True)
class Line:
    """`member` is a path such as `access_rights.orders.limit.quota_max`; `was` or `became` is empty where there was no
    such member.
    """

    member: str
    was: str
    became: str


def lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """What differs between the two sides of an entry, in their order."""
    was, became = dict(_leaves(before)), dict(_leaves(after))
    return [
        Line(member, was.get(member, ABSENT), became.get(member, ABSENT))
        for member in {**was, **became}
        if was.get(member) != became.get(member)
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Objects are walked through, unless they are empty; lists stay whole: their order is part of what they say."""
    if isinstance(value, Mapping) and (value or not path):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
