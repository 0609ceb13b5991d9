"""`splitsight cloud data dispute`: which labels are likely wrong."""

from __future__ import annotations

import os
from typing import Annotated

import msgspec
import typer

from shared import command_options as option
from shared.bundles.bundle import Bundle
from shared.console import out, print_json
from shared.storage.report_folder import prepare_report

ALL = "all"


def dispute(
    bundle: option.Bundle,
    data: option.Data,
    split: Annotated[str, typer.Option(help="Which of them; train, calibrate, test or all.")] = ALL,
    most: Annotated[int, typer.Option(min=1, help="Rows of each table; JSON has all.")] = 20,
    report: option.Report = None,
    to_review: Annotated[
        str | None,
        typer.Option(
            help="Have inspectors look again at what came off a line; the cloud's address. "
            "SPLITSIGHT_TOKEN is an engineer's."
        ),
    ] = None,
    runtime: option.Runtime = "auto",
    threads: option.Threads = 0,
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    format_: option.Format = "text",
) -> None:
    """Local: list the labels that a bundle's scores dispute, and twins with different labels.

    Nothing is changed: look at the pictures, and correct what is wrong. The report shows pictures
    of the data: keep it where they may be seen. --seed divides the data and must be that of the
    training.
    """
    with option.needs_extra("labels"):
        from cloud.disputes.second_opinions import ask_again  # noqa: PLC0415 - httpx
        from cloud.evaluation.label_evidence import judged_labels  # noqa: PLC0415 - sklearn
    from cloud.datasets.dataset import split_named  # noqa: PLC0415
    from cloud.disputes.lineage import LineOrigins  # noqa: PLC0415
    from cloud.evaluation.console_tables import print_words  # noqa: PLC0415
    from cloud.evaluation.judgements import judge  # noqa: PLC0415
    from cloud.evaluation.label_tables import label_headline, label_tables  # noqa: PLC0415
    from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415

    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    opened, dataset = Bundle.open(bundle), read_to_judge(data, options)
    if split != ALL:
        dataset = dataset.of(split_named(split))
    origins = LineOrigins.read(data)
    if report is not None:
        prepare_report(report, "train")
    judgements = judge(opened, dataset, runtime, threads)
    found = judged_labels(opened, dataset, judgements, origins, seed)
    page = None
    if report is not None:
        from cloud.evaluation.labels.label_report import write_label_report  # noqa: PLC0415

        page = write_label_report(report, found)
    asked = None
    if to_review is not None:
        asked = ask_again(to_review, found.disputed, os.environ.get("SPLITSIGHT_TOKEN"))
    if format_ == "json":
        print_json(msgspec.structs.replace(found, review=None if asked is None else asked.states))
        return
    out.print(label_headline(found), highlight=False)
    print_words(label_tables(found, most).filled)
    if asked is not None:
        out.print(asked.told, highlight=False)
    if page is not None:
        out.print(f"report: {page}", highlight=False, soft_wrap=True)
