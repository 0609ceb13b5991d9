"""`splitsight cloud evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cloud.training.cli import DataOption, FormatOption
from shared.bundles.bundle import Bundle
from shared.console import out, print_json
from shared.errors import MissingExtra
from shared.storage.report_folder import prepare_report

SHORT = 12

if TYPE_CHECKING:
    from cloud.evaluation.scorecard import Evaluation
    from cloud.evaluation.tables import Words


def evaluate(
    bundle: Annotated[Path, typer.Option("--bundle", help="A bundle.")],
    data: DataOption,
    split: Annotated[str, typer.Option(help="train, calibrate or test.")] = "test",
    pixels: Annotated[
        Path | None,
        typer.Option(help="The run's pixels.onnx, to set JPEG and WebP beside the features."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="A folder for report.html and its charts and sheets as PNG."),
    ] = None,
    runtime: Annotated[str, typer.Option(help="auto, openvino, onnx.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="0: as many as the backend likes.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the division, as in training.")] = 0,
    format_: FormatOption = "text",
) -> None:
    """Judge a split's pictures as the product will: edge, cloud and both together.

    The report shows pictures of the data: keep it where they may be seen.
    """
    try:
        from cloud.evaluation.evaluation import evaluate as run  # noqa: PLC0415 - needs scipy
    except ImportError as error:
        raise MissingExtra("train", error) from error
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.datasets.readers import read  # noqa: PLC0415

    chosen = split_named(split)
    opened, samples = Bundle.open(bundle), read(data, seed=seed).of(chosen)
    if report is not None:
        prepare_report(report, "train")
    found = run(opened, samples, split, runtime, pixels=pixels, threads=threads)
    if report is not None:
        from cloud.evaluation.report import write_report  # noqa: PLC0415 - two seconds of matplotlib

        write_report(report, opened, samples, found)
    if format_ == "json":
        print_json(found.figures)
        return
    _print(found.figures)
    if report is not None:
        out.print(f"report: {report / 'report.html'}", highlight=False, soft_wrap=True)


def _print(figures: Evaluation) -> None:
    from cloud.evaluation.tables import headline, rates, recall, side_by_side, traffic  # noqa: PLC0415

    out.print(f"{figures.bundle}. {headline(figures)}", highlight=False)
    if figures.certificate is not None:
        out.print(figures.certificate, highlight=False)
    tables = [side_by_side(figures), traffic(figures), recall(figures.groups)]
    if figures.rates is not None:
        tables.append(rates(figures.rates))
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
        grid.add_row(*map(escape, cells))
    return grid
