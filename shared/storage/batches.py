"""Many rows by one statement, at little more than what the driver takes.

What a statement needs is worked out once. SQLAlchemy does so for each execution and each row, which
costs more than storing what a box sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.sql.expression import ClauseElement

MOST_KEPT = 128


def execute_rows(
    connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]
) -> int:
    """As `connection.execute` for a statement that gives nothing back; how many rows it changed, -1
    where the driver does not say.

    statement   the same object each time
    rows        with the same names, those of its parameters; one at least
    """
    made = _prepared(connection.dialect, statement, tuple(rows[0]))
    return connection.exec_driver_sql(made.text, made.parameters(rows)).rowcount


class _Prepared:
    """A statement as its driver takes it.

    Where parameters go by their place, a row becomes a tuple, and otherwise a dictionary.
    """

    def __init__(self, dialect: Dialect, statement: ClauseElement, names: tuple[str, ...]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(names))
        self.text = str(compiled)
        places: Sequence[str] | None = getattr(compiled, "positiontup", None)
        self._by_place = places is not None
        self._names = list(compiled.params) if places is None else list(places)
        known = set(names)
        self._fixed = {name: value for name, value in compiled.params.items() if name not in known}
        binds: Mapping[str, Any] = getattr(compiled, "binds", {})
        self._written: dict[str, Callable[[Any], Any]] = {}
        for name in known & set(self._names):
            write = binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            if write is not None:
                self._written[name] = write

    def parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        if self._fixed or self._written:
            rows = [{**self._fixed, **row, **self._changed(row)} for row in rows]
        if self._by_place:
            return [tuple([row[name] for name in self._names]) for row in rows]
        return [{name: row[name] for name in self._names} for row in rows]

    def _changed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: write(row[name]) for name, write in self._written.items()}


@lru_cache(MOST_KEPT)
def _prepared(dialect: Dialect, statement: Any, names: tuple[str, ...]) -> _Prepared:
    return _Prepared(dialect, statement, names)
