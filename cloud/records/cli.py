"""`splitsight cloud records`: how much is kept of inspections, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shared import command_options as option
from shared.console import err, print_json, print_table, print_text
from shared.format import date, number
from shared.worker import DeadWorkers

if TYPE_CHECKING:
    from cloud.configuration.settings import CloudSettings
    from cloud.records.database import Database

records = option.group("What is kept of inspections, and for how long.")


@records.command()
def status(config: option.Config, format_: option.Format = "text") -> None:
    """Local: how many inspections of each site are kept, since when, and what goes next."""
    with _opened(config) as (settings, database):
        from cloud.records.retention import stock  # noqa: PLC0415

        found = stock(database, settings.retention.policy())
    if format_ == "json":
        print_json([one.as_facts() for one in found])
        return
    if not found:
        print_text("no inspections yet")
        return
    rows = [
        {
            "site": one.site,
            "came, in all": number(one.came),
            "kept": number(one.kept),
            "oldest": date(one.oldest) if one.oldest is not None else "–",
            "kept for": _days(one.days),
            "labelled": _days(one.labelled_days),
        }
        for one in found
    ]
    print_table("records", rows)


@records.command()
def prune(config: option.Config) -> None:
    """Local: delete now what is older than `retention` says; a running cloud does so by itself."""
    with _opened(config) as (settings, database):
        from cloud.records.retention import Retention  # noqa: PLC0415
        from cloud.records.rollup_worker import RollupWorker  # noqa: PLC0415
        from shared.clock import SystemClock  # noqa: PLC0415

        clock, dead = SystemClock(), DeadWorkers()
        RollupWorker(database, clock, dead).roll()
        retention = Retention(database, settings.retention.policy(), clock, dead)
        gone = retention.prune(lambda so_far: err.print(f"{so_far:,} deleted"))
    print_text(f"{gone:,} inspections deleted")


def _days(days: float | None) -> str:
    return "for ever" if days is None else f"{days:g} days"


@contextmanager
def _opened(config: Path) -> Iterator[tuple[CloudSettings, Database]]:
    with option.needs_extra("cloud"):
        from cloud.configuration.settings import load_cloud_settings  # noqa: PLC0415
        from cloud.records.database import Database  # noqa: PLC0415
    settings = load_cloud_settings(config)
    database = Database(settings.database)
    try:
        database.migrate()
        yield settings, database
    finally:
        database.close()
