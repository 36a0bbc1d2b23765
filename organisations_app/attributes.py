"""Custom attributes of developers: what their values may be. Pure."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol


class Definition(Protocol):
    """What an admin said of an attribute. `kind` is one of CHECKS."""

    name: str
    kind: str
    is_required: bool


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "a text"),
    "number": (_is_number, "a number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "list": (lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value), "a list of texts"),
}
EMPTY: tuple[Any, ...] = (None, "", [])


def attribute_errors(attributes: Any, defined: Iterable[Definition]) -> list[str]:
    """What is wrong with a developer's attributes, each naming the attribute and what is allowed."""
    if not isinstance(attributes, dict):
        return [f"must be a JSON object, not {attributes!r}"]
    definitions = {definition.name: definition for definition in defined}
    errors = [_unknown(name, definitions) for name in attributes if name not in definitions]
    for name, definition in definitions.items():
        is_right, words = CHECKS[definition.kind]
        value = attributes.get(name)
        if value in EMPTY and value is not False:
            errors += [f"{name} is required: {words}"] if definition.is_required else []
        elif not is_right(value):
            errors.append(f"{name} must be {words}, not {value!r}")
    return errors


def _unknown(name: str, definitions: dict[str, Definition]) -> str:
    known = ", ".join(definitions) or "none yet"
    return f"{name} is not defined; defined are: {known}. An admin defines attributes under “Developer attributes”."
