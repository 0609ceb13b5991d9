"""`splitsight cloud train|base`: a network from pictures, and what federated rounds start from."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cloud.training import command_options as training
from cloud.training.pixel_options import BayerOption, DepthOption, PixelsFile, wanted_pixels
from shared import command_options as option
from shared.bundles.manifest import NAME, VERSION
from shared.console import err, out, print_json
from shared.errors import SettingsError
from shared.format import size


def train(
    data: option.Data,
    target: Annotated[Path, typer.Option("--out", help="Where to write; a folder, or FILE.zip.")],
    run: Annotated[
        Path | None, typer.Option(help="Folder of a training; OUT.run unless given.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of what is made; the data's unless given.")] = "",
    version: Annotated[
        str, typer.Option("--release-version", help="Version of what is made, say 1.2.0.")
    ] = "1.0.0",
    epochs: training.Epochs = 14,
    tail_epochs: training.TailEpochs = 3,
    bottleneck_epochs: training.BottleneckEpochs = 8,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop the first stage after so many epochs without gain.")
    ] = 0,
    batch: training.Batch = 8,
    rate: training.Rate = 4e-3,
    bit_weight: training.BitWeight = 0.008,
    bottleneck: training.Bottleneck = 32,
    backbone: training.Backbone = "efficientnet-lite0",
    split_block: training.SplitBlock = 8,
    dropped_blocks: training.DroppedBlocks = 1,
    teacher: training.Teacher = None,
    synthetic: training.Synthetic = 0.2,
    good_only: option.GoodOnly = False,
    height: training.Height = 224,
    width: training.Width = 224,
    colour: training.Colour = False,
    pixels: PixelsFile = None,
    depth: DepthOption = "auto",
    bayer: BayerOption = "none",
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    threads: option.Threads = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    start_from: training.StartFrom = None,
    experiments: training.Experiments = "",
) -> None:
    """Local: train the split network on your pictures and write a bundle."""
    if good_only and (teacher or start_from):
        raise SettingsError(
            "--good-only can't follow or refine another training, which may have seen defects",
            fix="leave out --teacher and --start-from",
        )
    with option.needs_extra("train"):
        import torch  # noqa: PLC0415 - two seconds and 500 MB that only training pays

    from cloud.datasets.pixel_survey import survey  # noqa: PLC0415
    from cloud.datasets.readers import survey as survey_files  # noqa: PLC0415
    from cloud.datasets.versions.standing import standing_of  # noqa: PLC0415
    from cloud.experiments.mlflow_log import log_of  # noqa: PLC0415
    from cloud.survey.account_lines import account_lines  # noqa: PLC0415
    from cloud.survey.reader import read_options  # noqa: PLC0415
    from cloud.survey.shortages import require_trainable  # noqa: PLC0415
    from cloud.training.bundle_training import BundleOrder, train_bundle  # noqa: PLC0415
    from cloud.training.options import Options  # noqa: PLC0415
    from shared.splitnet.augmentation import Augmentation  # noqa: PLC0415
    from shared.splitnet.network import Architecture  # noqa: PLC0415
    from shared.splitnet.objective import Weights  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    folder = run or target.with_name(target.name + ".run")
    if (folder / "checkpoint.pt").exists() and not resume:
        raise SettingsError(
            f"{folder} holds a checkpoint of an earlier training",
            fix="add --resume to go on with it, or choose another --run folder",
        )
    found = survey_files(data, read_options(seed, data_format, same_part, skip_bad=skip_bad))
    dataset = found.dataset
    name = name or dataset.name
    _check_release(name, version)
    err.print(_described(dataset.summary()), highlight=False)
    if standing := standing_of(dataset, data):
        err.print(f"data: {standing.told(data)}", highlight=False, soft_wrap=True)
        dataset = replace(dataset, version=standing.name)
    surveyed = survey(dataset, wanted_pixels(pixels, depth, bayer), 3 if colour else 1)
    for note in surveyed.notes:
        err.print(f"- {note}", highlight=False, soft_wrap=True)
    for line in account_lines(found):
        err.print(line, highlight=False, markup=False)
    require_trainable(dataset, good_only=good_only, seed=seed)
    options = Options(
        architecture=Architecture(
            height=height,
            width=width,
            channels=3 if colour else 1,
            split_block=split_block,
            bottleneck=bottleneck,
            kinds=0 if good_only or len(dataset.classes) < 2 else len(dataset.classes),
            backbone=backbone,
            dropped_blocks=dropped_blocks,
        ),
        weights=Weights(rate=bit_weight),
        augmentation=Augmentation(synthetic=synthetic),
        epochs=epochs,
        tail_epochs=tail_epochs,
        bottleneck_epochs=bottleneck_epochs,
        patience=patience,
        batch=batch,
        rate=rate,
        teacher=str(teacher or ""),
        start_from=str(start_from or ""),
        seed=seed,
        pixels=surveyed.settings,
    )
    order = BundleOrder(dataset, options, folder, target, name, version, good_only)
    bundle = train_bundle(order, log_of(experiments, folder), resume=resume)
    out.print(
        f"{target} ({size(bundle.size)}); look at it with: splitsight bundle show {target}",
        soft_wrap=True,
    )


def base(
    run: Annotated[Path, typer.Option(help="Folder of a training; a finished one.")],
    target: Annotated[Path, typer.Option("--out", help="Where to write; say base.npz.")],
    format_: option.Format = "text",
) -> None:
    """Local: write a training's averaged network as the base of federated rounds."""
    with option.needs_extra("train"):
        from cloud.training.checkpoint import refuse_moved, trained_net  # noqa: PLC0415
        from shared.federation.base_network import BaseNetwork  # noqa: PLC0415
        from shared.splitnet.base_network import export_base  # noqa: PLC0415
    refuse_moved(run)
    export_base(trained_net(run), target)
    written = BaseNetwork.read(target)
    if format_ == "json":
        print_json({"file": str(target), "sha256": written.sha256})
    else:
        out.print(f"{target}: sha256 {written.sha256}", highlight=False, soft_wrap=True)


def _check_release(name: str, version: str) -> None:
    """Before hours of training, not after them."""
    if not re.fullmatch(NAME, name):
        raise SettingsError(
            f"a bundle can't be named {name!r}",
            fix="give --name, 1 to 63 of letters, digits, `-`, `_` and `.`",
        )
    if not re.fullmatch(VERSION, version):
        raise SettingsError(
            f"{version!r} is not a version", fix="give --release-version, say 1.2.0"
        )


def _described(summary: dict[str, object]) -> str:
    merged = summary["near_identical_merged"]
    return (
        f"{summary['name']}: {summary['images']} pictures of {summary['parts']} parts; "
        f"splits {summary['splits']}; defects {summary['defects']}; "
        f"{merged} near-identical pictures were kept with their twin"
    )
