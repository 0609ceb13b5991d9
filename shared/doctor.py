"""`splitsight doctor`: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from shared.console import Format, out, print_json
from shared.errors import SplitsightError

GROUP = "splitsight.checks"
SYNCED = Path("/run/systemd/timesync/synchronized")
Row = dict[str, object]


def row(check: str, *, ok: bool, found: str, wanted: str, fix: str = "") -> Row:
    """One line of the report; `fix` is empty where all is well."""
    return {"check": check, "ok": ok, "found": found, "wanted": wanted, "fix": "" if ok else fix}


def doctor(
    format_: Annotated[Format, typer.Option("--format", help="For people or programs.")] = "text",
) -> None:
    """Check every backend, camera, actuator, broker, the clock and the disk."""
    rows = [*own_checks(), *plugged_in_checks()]
    if format_ == "json":
        print_json(rows)
    else:
        for entry in rows:
            mark = "[green]ok[/]  " if entry["ok"] else "[yellow]no[/]  "
            out.print(mark, escape(f"{entry['check']}: {entry['found']}"), highlight=False)
            if entry["fix"]:
                out.print("       do:", escape(str(entry["fix"])), highlight=False)


def own_checks() -> Iterator[Row]:
    """What every machine needs, whatever part of splitsight it runs."""
    year = time.gmtime().tm_year
    synced = SYNCED.exists()
    yield row(
        "clock",
        ok=year >= 2026,
        found=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        + (", synchronised" if synced else ""),
        wanted="a clock that is set",
        fix="set the clock, and switch on time synchronisation",
    )
    free = shutil.disk_usage(Path.cwd()).free
    yield row(
        "disk",
        ok=free > 1 << 30,
        found=f"{free / 1e9:.1f} GB free here",
        wanted="1 GB free",
        fix="free some space",
    )


def plugged_in_checks() -> Iterator[Row]:
    """What each installed part of splitsight checks itself."""
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            checks: Callable[[], list[Row]] = entry.load()
            yield from checks()
        except (ImportError, SplitsightError) as error:
            yield row(
                entry.name,
                ok=False,
                found=f"can't be checked: {error}",
                wanted="installed",
                fix=f"pip install 'splitsight[{entry.name}]'",
            )
