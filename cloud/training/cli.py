"""`splitsight cloud train` and `splitsight cloud evaluate`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from shared.bundle import Bundle
from shared.console import Format, err, out, print_json
from shared.errors import MissingExtra, SettingsError
from shared.manifest import NAME, VERSION

DataOption = Annotated[
    str,
    typer.Option("--data", help="A folder, a CSV manifest, or `elpv`.", show_default=False),
]
FormatOption = Annotated[Format, typer.Option("--format", help="For people or for programs.")]


def train(
    data: DataOption,
    out_: Annotated[Path, typer.Option("--out", help="The bundle: a folder, or FILE.zip.")],
    run: Annotated[
        Path | None, typer.Option(help="Where checkpoints and curves go [default: OUT.run].")
    ] = None,
    name: Annotated[str, typer.Option(help="The bundle's name [default: the data's].")] = "",
    version: Annotated[str, typer.Option(help="The bundle's version, say 1.2.0.")] = "1.0.0",
    epochs: Annotated[int, typer.Option(min=1, max=1000)] = 25,
    batch: Annotated[int, typer.Option(min=2, max=512)] = 8,
    rate: Annotated[float, typer.Option(min=1e-6, max=1.0, help="Of the new layers.")] = 4e-3,
    bit_weight: Annotated[
        float, typer.Option(min=0.0, help="What a bit costs: higher sends less, sees less.")
    ] = 0.01,
    height: Annotated[int, typer.Option(help="Of the input; a multiple of 32.")] = 224,
    width: Annotated[int, typer.Option(help="Of the input; a multiple of 32.")] = 224,
    colour: Annotated[bool, typer.Option("--colour", help="Three channels, not grey.")] = False,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    threads: Annotated[int, typer.Option(min=0, help="0: all cores.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="The run folder of an earlier training to refine.")
    ] = None,
) -> None:
    """Train the split network on your pictures and write a bundle."""
    try:
        import torch  # noqa: PLC0415 - two seconds and 500 MB that only training pays
    except ImportError as error:
        raise MissingExtra("train", error) from error

    from cloud.training.assembly import assemble  # noqa: PLC0415
    from cloud.training.readers import read  # noqa: PLC0415
    from cloud.training.record import write_record, write_splits  # noqa: PLC0415
    from cloud.training.trainer import Options, Trainer  # noqa: PLC0415
    from shared.splitnet.network import Architecture  # noqa: PLC0415
    from shared.splitnet.objective import Weights  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    folder = run or out_.with_name(out_.name + ".run")
    if (folder / "checkpoint.pt").exists() and not resume:
        raise SettingsError(
            f"{folder} holds a checkpoint of an earlier training",
            fix="add --resume to go on with it, or choose another --run folder",
        )
    dataset = read(data, seed=seed)
    name = name or dataset.name
    _check_release(name, version)
    err.print(_described(dataset.summary()), highlight=False)
    options = Options(
        architecture=Architecture(height=height, width=width, channels=3 if colour else 1),
        weights=Weights(rate=bit_weight),
        epochs=epochs,
        batch=batch,
        rate=rate,
        seed=seed,
    )
    if start_from is not None:
        options = replace(options, apart=0.0)
    trainer = Trainer(dataset, options, folder)
    if resume and trainer.resume():
        err.print(f"resuming after epoch {trainer.epoch} of {epochs}")
    elif start_from is not None:
        trainer.start_from(start_from)
    net = trainer.fit()
    bundle = assemble(net, dataset, trainer, out_, name=name, version=version)
    write_record(folder, trainer, dataset, bundle)
    write_splits(folder, dataset)
    out.print(
        f"{out_} ({bundle.size / 1e6:.1f} MB); look at it with: splitsight bundle show {out_}",
        soft_wrap=True,
    )


def evaluate(
    bundle: Annotated[Path, typer.Option("--bundle", help="A bundle.")],
    data: DataOption,
    split: Annotated[str, typer.Option(help="train, calibrate or test.")] = "test",
    runtime: Annotated[str, typer.Option(help="auto, openvino, onnx.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the division, as in training.")] = 0,
    format_: FormatOption = "text",
) -> None:
    """Judge a split's pictures as the product will: edge, cloud and both together."""
    from cloud.training.dataset import SPLITS  # noqa: PLC0415
    from cloud.training.evaluation import evaluate as run  # noqa: PLC0415
    from cloud.training.readers import read  # noqa: PLC0415

    chosen = next((known for known in SPLITS if known == split), None)
    if chosen is None:
        raise SettingsError(f"there is no split {split!r}", fix=f"use one of {', '.join(SPLITS)}")
    report = run(Bundle.open(bundle), read(data, seed=seed).of(chosen), split, runtime)
    if format_ == "json":
        print_json(report)
        return
    for key, value in _flat(msgspec.to_builtins(report)).items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        out.print(f"{key:>34}  {shown}", highlight=False)


def _check_release(name: str, version: str) -> None:
    """Before hours of training, not after them."""
    if not re.fullmatch(NAME, name):
        raise SettingsError(
            f"a bundle can't be named {name!r}",
            fix="give --name, 1 to 63 of letters, digits, `-`, `_` and `.`",
        )
    if not re.fullmatch(VERSION, version):
        raise SettingsError(f"{version!r} is not a version", fix="give --version, say 1.2.0")


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            rows |= _flat(value, f"{prefix}{key}.")
        else:
            rows[prefix + key] = value
    return rows


def _described(summary: dict[str, object]) -> str:
    merged = summary["near_identical_merged"]
    return (
        f"{summary['name']}: {summary['images']} pictures of {summary['parts']} parts; "
        f"splits {summary['splits']}; defects {summary['defects']}; "
        f"{merged} near-identical pictures were kept with their twin"
    )
