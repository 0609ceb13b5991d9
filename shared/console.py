"""What a person at a terminal sees: progress on standard error, reports on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import truediv
from typing import Literal, TypeVar

import msgspec
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress import track as rich_track
from rich.table import Table

T = TypeVar("T")
Format = Literal["text", "json"]

# Lines of a cell, from where on a table is harder to read than its rows one by one.
TALLEST = 4

out = Console()
err = Console(stderr=True)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterable[T]:
    """Iterate with a progress bar on standard error; silent where nobody watches."""
    return rich_track(
        items,
        description=what,
        console=err,
        transient=True,
        total=total,
        disable=not err.is_terminal,
    )


def print_json(report: object) -> None:
    """One JSON value alone on standard output."""
    out.print(
        msgspec.json.format(msgspec.json.encode(report)).decode(),
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def print_text(text: str) -> None:
    """A line on standard output as it is: neither coloured, nor marked up, nor broken."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def print_table(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Rows of equal keys, as this terminal has room for them."""
    out.print(tabulated(title, rows, out.width))


def tabulated(title: str, rows: Sequence[Mapping[str, object]], width: int) -> RenderableType:
    """Rows of equal keys as a table; as a block each where a table would break words, or tower.

    width   of the terminal, in characters
    """
    names = [key.replace("_", " ") for key in (rows[0] if rows else ())]
    cells = [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    table = Table(title=title, title_justify="left")
    wanted = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    # A column takes a border and two spaces, the table one border more.
    widths = _shared_out(wanted, _longest_words(names, cells), width - 3 * len(names) - 1)
    if widths and max(map(truediv, wanted, widths)) <= TALLEST:
        for name, column in zip(names, widths, strict=True):
            table.add_column(name, width=column)
        for row in cells:
            table.add_row(*map(escape, row))
        return table
    blocks: list[RenderableType] = [f"[italic]{escape(title)}[/]"]
    for head, *others in cells:
        block = Table.grid(padding=(0, 2))
        for name, cell in zip(names[1:], others, strict=True):
            block.add_row(name, escape(cell))
        blocks += [f"[bold]{escape(head)}[/]", Padding(block, (0, 0, 0, 2))]
    return Group(*blocks)


def _longest_words(names: list[str], cells: list[list[str]]) -> list[int]:
    columns = zip(names, *cells, strict=True)
    return [max((len(w) for cell in column for w in cell.split()), default=1) for column in columns]


def _shared_out(wanted: list[int], least: list[int], room: int) -> list[int]:
    """Widths of columns, whose cells would like `wanted`; none where the least is too much."""
    widths = least.copy()
    for _ in range(min(room, sum(wanted)) - sum(least)):
        neediest = max(range(len(widths)), key=lambda one: wanted[one] / widths[one])
        widths[neediest] += 1
    return widths if sum(widths) <= room else []
