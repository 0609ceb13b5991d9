"""`splitsight fleet collect`: pictures off the line become a data set."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from fleet.collection.selection import KEEPS, PartSelection, keep_named, seconds_of
from shared import command_options as option
from shared.clock import SystemClock
from shared.console import print_json, print_table, print_text


def collect(
    target: Annotated[
        Path, typer.Option("--out", help="Where to write; a new folder, or one to go on with.")
    ],
    cloud: option.Cloud,
    keep: Annotated[str, typer.Option(help=f"Which parts; {', '.join(KEEPS)}.")] = "uncertain",
    last: Annotated[str, typer.Option(help="How far back; 30m, 24h, 7d, 2w.")] = "24h",
    device: Annotated[
        str, typer.Option(help="Name of a device; several with commas, all unless given.")
    ] = "",
    site: Annotated[str, typer.Option(help="Name of a site; all unless given.")] = "",
    line: Annotated[str, typer.Option(help="Name of a line; all unless given.")] = "",
    lot: Annotated[str, typer.Option(help="Only of this lot.")] = "",
    most: Annotated[
        int | None, typer.Option("--max", min=1, help="At most so many parts; the newest.")
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why; it is in the audit log beside each picture.")
    ] = "collected as a data set",
    format_: option.Format = "text",
) -> None:
    """Cloud: fetch pictures of parts from their boxes, with labels and where each is from."""
    since = SystemClock().utc() - seconds_of(last)
    chosen = PartSelection(
        keep_named(keep), since, tuple(filter(None, device.split(","))), site, line, lot
    )
    with option.needs_extra("fleet"):
        from fleet.client.part_api import PartApi  # noqa: PLC0415
        from fleet.collection.collector import Collector  # noqa: PLC0415 - OpenCV
        from fleet.collection.folder import CollectionFolder  # noqa: PLC0415
    token = os.environ.get("SPLITSIGHT_TOKEN")
    with closing(CollectionFolder(target)) as folder, PartApi(cloud, token) as api:
        report = Collector(api, folder, reason).collect(chosen, most)
    if format_ == "json":
        print_json(report)
        return
    print_text(
        f"{report.found} parts fit: {report.fetched} pictures came, {report.there} were there"
    )
    if report.refused:
        rows = [
            {"no picture": why, "parts": count, "said": report.told[why]}
            for why, count in report.refused.items()
        ]
        print_table("parts without a picture", rows)
    print_text(
        f"{target}: {report.labelled} labelled pictures, {report.unlabelled} without a label"
        + (f", {report.regions} regions" if report.regions else "")
    )
    if report.unlabelled:
        print_text(f"to label those: {cloud.rstrip('/')}/review; then run this again")
    if report.later:
        print_text(f"{report.later} may come later: run this again, it asks for those alone")
    if report.labelled:
        print_text(f"next: splitsight cloud data check {target}")
