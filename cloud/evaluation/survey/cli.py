"""`splitsight cloud data check`: what is in a set of pictures, before anybody trains on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shared import command_options as option
from shared.console import out, print_json, print_table, print_text
from shared.storage.report_folder import prepare_report

if TYPE_CHECKING:
    from cloud.datasets.readers import SurveyedData


def check(
    path: Annotated[str, typer.Argument(help="Pictures; a folder, a file of labels, or `elpv`.")],
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    good_only: option.GoodOnly = False,
    seed: option.Seed = 0,
    report: option.Report = None,
    format_: option.Format = "text",
) -> None:
    """Local: account for every file of a data set, and say whether it can be trained on.

    The report has a contact sheet. It shows pictures of the data: keep it where they may be seen.
    """
    with option.needs_extra("train"):
        from cloud.survey.account_lines import account_lines, kinds_by_split  # noqa: PLC0415 - needs scipy
    from cloud.datasets.readers import survey  # noqa: PLC0415
    from cloud.survey.reader import read_options  # noqa: PLC0415
    from cloud.survey.shortages import require_trainable  # noqa: PLC0415

    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    if report is not None:
        prepare_report(report, "train")
    found = survey(path, options)
    if report is not None:
        from cloud.evaluation.survey_report import write_survey  # noqa: PLC0415

        write_survey(report, found)
    if format_ == "json":
        print_json(_told(found))
    else:
        for line in account_lines(found):
            print_text(line)
        print_table("pictures by kind and split", kinds_by_split(found.dataset))
        if report is not None:
            out.print(f"report: {report / 'report.html'}", highlight=False, soft_wrap=True)
    require_trainable(found.dataset, good_only=good_only, seed=seed)


def _told(found: SurveyedData) -> dict[str, object]:
    from cloud.survey.account_lines import kinds_by_split  # noqa: PLC0415
    from cloud.survey.shortages import shortages  # noqa: PLC0415

    account, seen = found.account, found.seen
    return {
        "name": found.dataset.name,
        "format": found.form,
        "files": account.counts(),
        "left_out": [{"path": str(left.path), "why": left.why} for left in account.left_out],
        "flaws": [str(flaw) for flaw in account.flaws],
        "notes": account.notes,
        "few": shortages(found.dataset),
        "kinds": kinds_by_split(found.dataset),
        "same_part": [[str(path) for path in group] for group in found.groups],
        "sizes": dict(seen.sizes) if seen else {},
        "depths": dict(seen.depths) if seen else {},
    }
