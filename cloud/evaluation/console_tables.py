"""Tables of words on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape as escape_markup
from rich.table import Table

from cloud.evaluation.tables import Words
from shared.console import out

SHORT = 12


def print_words(tables: Iterable[Words]) -> None:
    """Each with its note below it; those without rows not at all."""
    for table in tables:
        if table.rows:
            out.print()
            out.print(_grid(table))
            out.print(table.note, style="dim", highlight=False)


def _grid(table: Words) -> Table:
    """For a narrow terminal: a figure and its brackets share a line only where both are short."""
    grid = Table(title=table.title, title_justify="left")
    for number, key in enumerate(table.rows[0]):
        first = number == 0
        grid.add_column(key, justify="left" if first else "right", no_wrap=not first)
    for row in table.rows:
        cells = (c.replace(" (", "\n(") if len(c) > SHORT else c for c in row.values())
        grid.add_row(*map(escape_markup, cells))
    return grid
