"""Rows by the million: with COPY on PostgreSQL, in batches elsewhere; past the checks and defaults of the ORM."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.core.management.color import no_style
from django.db import connection
from django.db.models import AutoField, Field, Max, Model

BATCH = 5_000
Written = Callable[[int], None]


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
        write = _copy if connection.vendor == "postgresql" else _insert
        write(self.model._meta.db_table, columns, varying, constants, iter(rows), written)


def _stored(field: "Field[Any, Any]", value: Any) -> Any:
    return field.get_db_prep_save(value, connection)


def _copy(
    table: str,
    columns: Sequence[str],
    varying: Sequence[Any],
    constants: tuple[Any, ...],
    rows: Iterator[Sequence[Any]],
    written: Written,
) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
    ):
        while batch := list(islice(rows, BATCH)):
            for row in batch:
                copy.write_row((*row, *constants))
            written(len(batch))


def _insert(
    table: str,
    columns: Sequence[str],
    varying: Sequence[Any],
    constants: tuple[Any, ...],
    rows: Iterator[Sequence[Any]],
    written: Written,
) -> None:
    marks = ", ".join(["%s"] * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of our own models
    with connection.cursor() as cursor:
        while batch := list(islice(rows, BATCH)):
            values = [[_stored(field, value) for field, value in zip(varying, row, strict=True)] for row in batch]
            cursor.executemany(statement, [(*row, *constants) for row in values])
            written(len(batch))


def next_id(model: type[Model]) -> int:
    """The first free number of a counted primary key."""
    return int(model._default_manager.aggregate(highest=Max("pk"))["highest"] or 0) + 1


def after_numbering(models: Sequence[type[Model]]) -> None:
    """Lets the database go on counting beyond the numbers that rows brought along, and look at the tables anew."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
        cursor.execute("ANALYZE")
