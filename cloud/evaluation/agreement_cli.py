"""`splitsight cloud parity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from shared.bundles.bundle import Bundle
from shared.console import Format, print_json, print_table
from shared.errors import CheckFailed


def parity(
    bundle: Annotated[Path, typer.Option("--bundle", help="A bundle.")],
    data: Annotated[
        str,
        typer.Option("--data", help="A folder, a CSV manifest, or `elpv`.", show_default=False),
    ],
    split: Annotated[str, typer.Option(help="train, calibrate or test.")] = "test",
    run: Annotated[
        Path | None, typer.Option(help="The bundle's run folder, to compare torch as well.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the division, as in training.")] = 0,
    format_: Annotated[
        Format, typer.Option("--format", help="For people or for programs.")
    ] = "text",
) -> None:
    """Compare float with int8, and backend with backend, on a split's pictures."""
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.datasets.readers import read  # noqa: PLC0415
    from cloud.evaluation.agreement import compare  # noqa: PLC0415

    chosen = split_named(split)
    rows = compare(Bundle.open(bundle), read(data, seed=seed).of(chosen), run)
    if format_ == "json":
        print_json(rows)
    else:
        print_table(f"{bundle} on {split}", [msgspec.to_builtins(row) for row in rows])
    wrong = [row for row in rows if not row.ok]
    if wrong:
        first = wrong[0]
        raise CheckFailed(
            f"{len(wrong)} of {len(rows)} comparisons fall short, the first is {first.head} beside "
            f"{first.beside}: {first.same:.2%} decided alike, {first.wanted:.1%} are wanted",
            fix="quantise again with more calibration pictures, or train longer",
        )
