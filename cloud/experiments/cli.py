"""`splitsight cloud runs`: what trainings were recorded, and what came of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import click
import typer

from cloud.experiments.place import FOLDER, place_of
from shared import command_options as option
from shared.bundles.manifest import MANIFEST
from shared.console import print_json, print_table, print_text
from shared.errors import ExperimentError, SettingsError

if TYPE_CHECKING:
    from cloud.experiments.run_table import RunRow
    from cloud.experiments.store import RunStore


class _ListFirst(option.LazyGroup):
    """`cloud runs` alone lists them."""

    usual: ClassVar = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.usual, *args]
        return super().parse_args(ctx, args)


runs = typer.Typer(
    cls=_ListFirst,
    add_completion=False,
    suggest_commands=False,
    help="Trainings that were recorded; alone, it lists them.",
)

Experiments = Annotated[
    str,
    typer.Option(
        envvar="SPLITSIGHT_EXPERIMENTS",
        help="Where runs are recorded; a folder, or an MLflow server's URL.",
    ),
]


@runs.command("list")
def list_(
    experiments: Experiments = FOLDER,
    sort: Annotated[
        str, typer.Option(help="By what; `began`, `system_auroc`, `kilobytes` or any metric.")
    ] = "began",
    format_: option.Format = "text",
) -> None:
    """Network: print recorded trainings, the newest or the best first."""
    from cloud.experiments.run_table import sorted_by, table_of  # noqa: PLC0415

    store = _opened(experiments)
    rows = sorted_by(_rows(store), sort)
    if format_ == "json":
        print_json([asdict(row) for row in rows])
    elif rows:
        print_table(f"runs in {store.place}", table_of(rows))
    else:
        print_text("no runs yet")


@runs.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's id, or the beginning of it.")],
    experiments: Experiments = FOLDER,
    format_: option.Format = "text",
) -> None:
    """Network: print all that is known of one training."""
    from cloud.experiments.run_table import facts_of  # noqa: PLC0415

    found = [row for row in _rows(_opened(experiments)) if row.id.startswith(run)]
    if len(found) != 1:
        raise SettingsError(
            f"{len(found)} runs in {experiments} have an id that begins with {run!r}",
            fix="see `splitsight cloud runs` for their ids, and give more of one",
        )
    if format_ == "json":
        print_json(asdict(found[0]))
    else:
        print_table(found[0].name, facts_of(found[0]))


@runs.command()
def upload(
    run: Annotated[Path, typer.Argument(help="The folder of a training that has ended.")],
    experiments: Experiments = FOLDER,
) -> None:
    """Network: record a training whose store was away, or in another store."""
    from cloud.experiments.mlflow_log import RECORD, MlflowLog  # noqa: PLC0415

    place = place_of(experiments, Path(FOLDER))
    if place is None:
        raise SettingsError("`off` keeps no runs", fix="give a folder or a server's URL")
    try:
        record = json.loads((run / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{run} has no {RECORD} that can be read ({error})",
            fix="give the run folder of a training that has come to its end",
        ) from error
    lacking = {"name", "options", "data", "curves", "metrics", "revision"} - record.keys()
    if lacking:
        raise SettingsError(
            f"{run / RECORD} is of an earlier version: it lacks {', '.join(sorted(lacking))}",
            fix="only trainings of this version can be uploaded",
        )
    MlflowLog(place, run).upload(record, [run / RECORD, run / MANIFEST])
    print_text(f"{record['name']} is in {place}")


def _opened(experiments: str) -> RunStore:
    from cloud.experiments.store import RunStore  # noqa: PLC0415

    place = place_of(experiments, Path(FOLDER))
    if place is None or place.missing:
        raise ExperimentError(
            f"no runs are kept in {experiments}",
            fix="give the folder or URL that trainings recorded to as --experiments; "
            "experiments/ beside their run folders unless told otherwise",
        )
    return RunStore(place)


def _rows(store: RunStore) -> list[RunRow]:
    from cloud.experiments.run_table import row_of  # noqa: PLC0415

    return [row_of(run) for run in store.runs()]
