"""Statements that run all the time, written by SQLAlchemy and run by the database's driver.

SQLAlchemy makes the SQL once for a dialect, from the tables of `cloud.schema`, so that names and types stand in one
place. Running it through SQLAlchemy would cost several times what the statement itself does; here the driver gets the
text and the values, in the transaction and on the connection that SQLAlchemy holds. Errors are SQLAlchemy's all the
same, so that whoever runs the transaction need not know the difference.

Not for statements whose text depends on the values, such as `IN` over a list.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

Convert = Callable[[Any], Any]


class Prepared:
    """One statement.

    Args:
        statement: With a `bindparam` for each value, or a function that makes it for a dialect by its name.
        columns: Of an insert or update: which are given.
    """

    def __init__(
        self, statement: sa.Executable | Callable[[str], sa.Executable], *, columns: Sequence[str] | None = None
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._texts: dict[str, _Text] = {}

    def statement_for(self, dialect: str) -> sa.Executable:
        """Return the statement as SQLAlchemy has it."""
        made = self._statement
        return made if isinstance(made, sa.Executable) else made(dialect)

    def all(self, connection: sa.Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return all rows, as tuples with the columns' names."""
        text = self._text(connection)
        rows, _ = run_text(connection, text.sql, [text.bound(values)], reads=True)
        return [text.row(row) for row in rows]

    def first(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        """Return the first row, or None."""
        rows = self.all(connection, values)
        return rows[0] if rows else None

    def scalar(self, connection: sa.Connection, values: Mapping[str, Any]) -> Any:
        """Return the first column of the first row, or None."""
        row = self.first(connection, values)
        return None if row is None else row[0]

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> int:
        """Run what returns no rows; return how many were changed."""
        text = self._text(connection)
        _, changed_count = run_text(connection, text.sql, [text.bound(values)], reads=False)
        return changed_count

    def run_each(self, connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run what returns no rows once with each of these values."""
        text = self._text(connection)
        bound = [text.bound(values) for values in rows]
        if bound:
            run_text(connection, text.sql, bound, reads=False)

    def _text(self, connection: sa.Connection) -> "_Text":
        dialect = connection.dialect
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = _Text(self.statement_for(dialect.name), dialect, self._columns)
        return text


class _Text:
    """A statement in one dialect: its text, the order of its values, and what drivers do not convert by themselves."""

    def __init__(self, statement: sa.Executable, dialect: sa.Dialect, columns: Sequence[str] | None) -> None:
        assert isinstance(statement, sa.ClauseElement)
        compiled: Any = statement.compile(dialect=dialect, column_keys=list(columns) if columns is not None else None)
        assert dialect.positional, "both drivers take values by position"
        assert not compiled.post_compile_params, "its text would depend on the values"
        self.sql: str = compiled.string
        self._names: list[str] = compiled.positiontup
        self._constants: dict[str, Any] = {
            name: value for name, value in compiled.params.items() if name not in (columns or ()) and value is not None
        }
        types = [compiled.binds[name].type.dialect_impl(dialect) for name in self._names]
        self._bind = _indexed(kind.bind_processor(dialect) for kind in types)
        results: Any = getattr(statement, "exported_columns", ())  # a delete has none
        self._row: Callable[[Iterable[Any]], Any] = _row_type([column.name for column in results])
        self._read = _indexed(column.type.dialect_impl(dialect).result_processor(dialect, None) for column in results)

    def bound(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the values as the driver takes them."""
        given = {**self._constants, **values} if self._constants else values
        bound = [given[name] for name in self._names]
        for index, convert in self._bind:
            bound[index] = convert(bound[index])
        return tuple(bound)

    def row(self, found: Sequence[Any]) -> Any:
        """Return a row as the schema's types have it."""
        if not self._read:
            return self._row(found)
        values = list(found)
        for index, convert in self._read:
            values[index] = convert(values[index])
        return self._row(values)


def _row_type(names: Sequence[str]) -> Callable[[Iterable[Any]], Any]:
    make: Any = namedtuple  # noqa: PYI024 - the names are those of a statement
    made: Callable[[Iterable[Any]], Any] = make("Row", names, rename=True)._make
    return made


def _indexed(converts: Iterable[Convert | None]) -> list[tuple[int, Convert]]:
    return [(index, convert) for index, convert in enumerate(converts) if convert is not None]


def run_text(
    connection: sa.Connection, sql: str, bound: Sequence[tuple[Any, ...]] = ((),), *, reads: bool = False
) -> tuple[Sequence[Any], int]:
    """Run a text once with each of these values; return the rows, if it `reads`, and how many were changed.

    Raises:
        sqlalchemy.exc.DBAPIError: As SQLAlchemy's own `execute` raises it.
    """
    cursor = connection.connection.cursor()
    try:
        if len(bound) == 1:
            cursor.execute(sql, bound[0])
        else:
            cursor.executemany(sql, bound)
        return (cursor.fetchall() if reads else ()), cursor.rowcount
    except connection.dialect.loaded_dbapi.Error as error:
        raise _translated(connection, sql, error) from error
    finally:
        cursor.close()


def _translated(connection: sa.Connection, sql: str, error: Any) -> BaseException:
    """Return what SQLAlchemy would raise; a connection that is lost is given up, as SQLAlchemy does."""
    dialect = connection.dialect
    is_lost = dialect.is_disconnect(error, connection.connection, None)
    if is_lost:
        connection.invalidate(error)
    raised: BaseException = sa.exc.DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost,
        dialect=dialect,
    )
    return raised
