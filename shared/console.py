"""What a person at a terminal sees: progress on standard error, reports on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import track as rich_track
from rich.table import Table

T = TypeVar("T")
Format = Literal["text", "json"]

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
    """Rows of equal keys as a table."""
    table = Table(title=title, title_justify="left")
    for key in rows[0] if rows else ():
        table.add_column(key.replace("_", " "))
    for row in rows:
        cells = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values())
        table.add_row(*map(escape, cells))
    out.print(table)
