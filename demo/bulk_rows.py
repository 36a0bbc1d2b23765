"""Rows by the million: with COPY on PostgreSQL, in batches elsewhere; past the checks and defaults of the ORM."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.core.management.color import no_style
from django.db import connection
from django.db.models import AutoField, Field, Max, Model

BATCH = 5_000
Written = Callable[[int], None]
Put = Callable[[Sequence[Sequence[Any]]], None]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of `model`: `names` are the columns that differ, `example` has the values of all others."""

    model: type[Model]
    names: tuple[str, ...]
    example: Model

    def write(self, rows: Iterable[Sequence[Any]], written: Written) -> None:
        """Inserts the rows, each with its values of `names`. `written` is told how many more there are."""
        fields = self.model._meta.concrete_fields
        varying = [next(field for field in fields if name in (field.name, field.attname)) for name in self.names]
        same = [field for field in fields if field not in varying and not isinstance(field, AutoField)]
        constants = tuple(_stored(field, getattr(self.example, field.attname)) for field in same)
        columns = [connection.ops.quote_name(field.column or "") for field in (*varying, *same)]
        begin, left = _copying if connection.vendor == "postgresql" else _inserting, iter(rows)
        with connection.cursor() as cursor, begin(cursor, self.model._meta.db_table, columns, varying) as put:
            while batch := list(islice(left, BATCH)):
                put([(*row, *constants) for row in batch])
                written(len(batch))


def _stored(field: "Field[Any, Any]", value: Any) -> Any:
    return field.get_db_prep_save(value, connection)


@contextmanager
def _copying(cursor: Any, table: str, columns: Sequence[str], varying: Sequence[Any]) -> Iterator[Put]:
    """PostgreSQL's driver turns values into text by their types."""
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:

        def put(rows: Sequence[Sequence[Any]]) -> None:
            for row in rows:
                copy.write_row(row)

        yield put


@contextmanager
def _inserting(cursor: Any, table: str, columns: Sequence[str], varying: Sequence[Any]) -> Iterator[Put]:
    """The columns that differ come first in a row; the constants behind them are as they are stored."""
    marks = ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of our own models

    def put(rows: Sequence[Sequence[Any]]) -> None:
        cursor.executemany(statement, [(*map(_stored, varying, row), *row[len(varying) :]) for row in rows])

    yield put


def next_id(model: type[Model]) -> int:
    """The first free number of a counted primary key."""
    return int(model._default_manager.aggregate(highest=Max("pk"))["highest"] or 0) + 1


def after_numbering(models: Sequence[type[Model]]) -> None:
    """Lets the database go on counting beyond the numbers that rows brought along, and look at the tables anew."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
