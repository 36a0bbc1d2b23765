"""Many new keys in one transaction: all of them, or none and everything that is wrong, with the rows that it is in."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.core.exceptions import ValidationError

from organisations_app.documents import DocumentError, Problem, Reader, brief, problems_of
from sessions_app.new_keys import RowError, RowErrors

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


class Rows:
    """Rows that are worked on step by step; what is wrong with any of them is collected, at most MOST_PROBLEMS."""

    def __init__(self) -> None:
        self.problems: dict[int, list[Problem]] = {}

    def each(self, rows: Iterable[tuple[int, Given]], step: Callable[[Given], Made]) -> dict[int, Made]:
        """What `step` makes of each row, by its index; a row with something wrong is left out."""
        made: dict[int, Made] = {}
        for index, row in rows:
            try:
                made[index] = step(row)
            except (DocumentError, ValidationError) as error:
                self.problems[index] = _in_row(index, error)
            if len(self.problems) >= MOST_PROBLEMS:
                break
        return made

    def finish(self) -> None:
        """Raises DocumentError if anything was wrong."""
        if self.problems:
            found = [problem for _, problems in sorted(self.problems.items()) for problem in problems]
            raise DocumentError(found[:MOST_PROBLEMS])


@contextmanager
def naming_rows() -> Iterator[None]:
    """Raises DocumentError, with the rows that things are wrong in, instead of RowErrors."""
    try:
        yield
    except RowErrors as errors:
        found = [problem for index, error in errors.errors.items() for problem in _in_row(index, error)]
        raise DocumentError(found[:MOST_PROBLEMS]) from None


def _in_row(index: int, error: RowError) -> list[Problem]:
    problems = error.problems if isinstance(error, DocumentError) else problems_of(error)
    return [Problem(f"/keys/{index}{problem.pointer}", problem.detail, problem.code) for problem in problems]
