"""Many new keys in one transaction: all of them, or none and everything that is wrong, with the rows that it is in."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import transaction

from organisations_app.documents import DocumentError, Problem, Reader, brief, problems_of

MOST_ROWS = 1_000
MOST_PROBLEMS = 100
Given = TypeVar("Given")
Made = TypeVar("Made")


def read_rows(document: Any) -> list[Any]:
    """The member `keys`: a list of 1 to MOST_ROWS session objects. Raises DocumentError."""
    reader = Reader(document)
    rows = reader.raw("keys")
    if not isinstance(rows, list):
        reader.refuse("keys", f"must be a list of session objects, not {brief(rows)}")
    elif not 1 <= len(rows) <= MOST_ROWS:
        reader.refuse("keys", f"must have 1 to {MOST_ROWS} session objects, not {len(rows)}")
    reader.refuse_rest()
    reader.finish()
    return list(rows or ())


@transaction.atomic
def each(rows: Sequence[Given], step: Callable[[Given], Made]) -> list[Made]:
    """What `step` makes of each row. Raises DocumentError with what is wrong in all of them, at most MOST_PROBLEMS."""
    made: list[Made] = []
    problems: list[Problem] = []
    for index, row in enumerate(rows):
        try:
            made.append(step(row))
        except DocumentError as error:
            problems += _in_row(index, error.problems)
        except ValidationError as error:
            problems += _in_row(index, problems_of(error))
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise DocumentError(problems[:MOST_PROBLEMS])
    return made


def _in_row(index: int, problems: Iterable[Problem]) -> list[Problem]:
    return [Problem(f"/keys/{index}{problem.pointer}", problem.detail, problem.code) for problem in problems]
