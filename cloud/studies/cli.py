"""`splitsight cloud search`: which size, rate, split and bit weight suit a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from cloud.studies.budget import seconds_of
from cloud.training import command_options as training
from shared import command_options as option
from shared.console import err, print_json, print_table, print_text

if TYPE_CHECKING:
    from cloud.studies.option_study import OptionStudy
    from cloud.studies.space import SearchSpace


def search(
    data: option.Data,
    target: Annotated[
        Path, typer.Option("--out", help="Where to write; a folder, the same one to go on.")
    ],
    budget: Annotated[
        str,
        typer.Option(envvar="SPLITSIGHT_SEARCH_BUDGET", help="Time for all of it; 90m, 2h, 1d."),
    ] = "2h",
    trials: Annotated[
        int, typer.Option(min=0, help="End after so many; 0: when the time is over.")
    ] = 0,
    what: Annotated[
        str, typer.Option(help="What to vary; of size, rate, split and bits.")
    ] = "size,rate,split,bits",
    epochs: training.Epochs = 6,
    tail_epochs: training.TailEpochs = 1,
    bottleneck_epochs: training.BottleneckEpochs = 3,
    batch: training.Batch = 8,
    rate: training.Rate = 4e-3,
    bit_weight: training.BitWeight = 0.008,
    backbone: training.Backbone = "efficientnet-lite0",
    split_block: training.SplitBlock = 8,
    good_only: option.GoodOnly = False,
    height: training.Height = 224,
    width: training.Width = 224,
    colour: training.Colour = False,
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    threads: option.Threads = 0,
    format_: option.Format = "text",
) -> None:
    """Local: try ways to train, by short trainings, and show the best of them."""
    seconds = seconds_of(budget)
    with option.needs_extra("train"):
        import torch  # noqa: PLC0415

    from cloud.datasets.pixel_survey import survey  # noqa: PLC0415
    from cloud.studies.option_study import OptionStudy  # noqa: PLC0415
    from cloud.studies.space import SearchSpace, chosen  # noqa: PLC0415
    from cloud.studies.study_store import only_one  # noqa: PLC0415
    from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415
    from cloud.training.options import Options  # noqa: PLC0415
    from shared.features.pixel_settings import AS_IT_IS  # noqa: PLC0415
    from shared.splitnet.backbone import load_backbone  # noqa: PLC0415
    from shared.splitnet.network import Architecture  # noqa: PLC0415
    from shared.splitnet.objective import Weights  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    dataset = read_to_judge(data, options)
    channels = 3 if colour else 1
    pixels = survey(dataset, AS_IT_IS, channels)
    for note in pixels.notes:
        err.print(f"- {note}", highlight=False, soft_wrap=True)
    kinds = 0 if good_only or len(dataset.classes) < 2 else len(dataset.classes)
    shape = Architecture(height, width, channels, split_block, kinds=kinds, backbone=backbone)
    base = Options(
        shape,
        Weights(rate=bit_weight),
        epochs=epochs,
        tail_epochs=tail_epochs,
        bottleneck_epochs=bottleneck_epochs,
        batch=batch,
        rate=rate,
        seed=seed,
        pixels=pixels.settings,
    )
    blocks = load_backbone(height, width, channels, name=backbone, pretrained=False).split_blocks
    space = SearchSpace(base, chosen(what, base), tuple(blocks))
    given = ["--data", data, "--backbone", backbone, "--batch", str(batch), "--seed", str(seed)]
    given += ["--colour"] * colour + ["--good-only"] * good_only + ["--skip-bad"] * skip_bad
    given += ["--data-format", data_format] if data_format else []
    given += ["--same-part", same_part] if same_part != "auto" else []
    with only_one(target):
        study = OptionStudy(target, dataset, space, good_only=good_only)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} % of the budget"),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        try:
            with bar:
                task = bar.add_task("searching", total=seconds)
                study.go_on(seconds, trials, lambda used: bar.update(task, completed=used))
        finally:
            _report(study, space, given, format_)


def _report(study: OptionStudy, space: SearchSpace, given: list[str], format_: str) -> None:
    from cloud.studies.study_table import command_of, row_of  # noqa: PLC0415

    best = study.best
    commands = [command_of(one, space, given) for one in best]
    if format_ == "json":
        found = [{**row_of(one), "command": line} for one, line in zip(best, commands, strict=True)]
        trials = [row_of(one) for one in study.trials]
        print_json({"used_s": study.used_s, "best": found, "trials": trials})
        return
    ended, failed = study.trials, [one for one in study.trials if not one.values]
    print_text(
        f"{len(ended)} trials, {len(failed)} of them failed; {study.used_s / 60:.1f} minutes used"
    )
    if best:
        print_table("trials that no other beats", [row_of(one) for one in best])
        print_text(f"the first in full, with a bundle's folder for BUNDLE:\n  {commands[0]}")
