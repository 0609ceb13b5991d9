"""`splitsight cloud leakage`: what a bundle's features give away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared import command_options as option
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.leakage import Leakage, Reconstruction, describe
from shared.console import err, out, print_json, print_table
from shared.errors import BundleError, SettingsError

if TYPE_CHECKING:
    from cloud.datasets.dataset import Sample
    from cloud.leakage.leakage import Inverted

SHEET = "leakage.png"


def leakage(
    bundle: option.Bundle,
    data: option.Data,
    allow_seen: option.AllowSeen = False,
    epochs: Annotated[
        int,
        typer.Option(
            envvar="SPLITSIGHT_LEAKAGE_EPOCHS", min=1, max=1000, help="Epochs; of the inverter."
        ),
    ] = 40,
    target: Annotated[
        Path | None, typer.Option("--out", help=f"Where to write; a folder for {SHEET}.")
    ] = None,
    runtime: option.Runtime = "auto",
    data_format: option.DataFormat = "",
    skip_bad: option.SkipBad = False,
    same_part: option.SamePart = "auto",
    seed: option.Seed = 0,
    threads: option.Threads = 0,
    format_: option.Format = "text",
) -> None:
    """Local: make pictures again from what is sent, and say how well that works.

    Trains an inverter on all training pictures, inverts the test split at several coarsenesses,
    lets the bundle's own float head look for defects in what came out, and notes the figures in the
    bundle. --out gets pictures beside reconstructions. --seed must be that of the training.
    """
    with option.needs_extra("train"):
        import torch  # noqa: PLC0415 - two seconds and 500 MB that only training pays

        from cloud.leakage.inverter import Fit  # noqa: PLC0415
        from cloud.leakage.leakage import measure_leakage  # noqa: PLC0415
    from cloud.datasets.seen_pictures import require_unseen  # noqa: PLC0415
    from cloud.survey.reader import read_options, read_to_judge  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    options = read_options(seed, data_format, same_part, skip_bad=skip_bad)
    opened, dataset = Bundle.open(bundle), read_to_judge(data, options)
    require_unseen(opened, dataset.of("test"), allow=allow_seen)
    if target is not None:
        _make_folder(target)
    inverted = measure_leakage(opened, dataset, Fit(epochs, seed=seed), runtime, threads)
    amended = note(bundle, inverted.leakage)
    if target is not None:
        _save_sheet(target / SHEET, inverted, dataset.of("test").samples)
    if format_ == "json":
        print_json({"bundle": amended.id, **inverted.leakage.model_dump(mode="json")})
        return
    _print(bundle, inverted.leakage)
    err.print(f"{bundle} notes this; its id is now {amended.id}", highlight=False)


def _make_folder(folder: Path) -> None:
    """Before minutes of work, not after them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{folder} can't be made ({error})", fix="choose another --out folder"
        ) from error


def note(path: Path, found: Leakage) -> Bundle:
    """Write the figures into the bundle as it is now: others may have changed its gate meanwhile.

    Raises BundleError where its models are no longer those that were inverted.
    """
    bundle = Bundle.open(path)
    if bundle.manifest.pair != found.pair:
        raise BundleError(
            f"{path} now holds the pair {bundle.manifest.pair}, {found.pair} was inverted",
            fix="run the command again",
        )
    return amend_bundle(bundle, {"leakage": found.model_dump()})


def _save_sheet(path: Path, inverted: Inverted, samples: tuple[Sample, ...]) -> None:
    import cv2  # noqa: PLC0415

    from cloud.leakage.sheet import draw_sheet  # noqa: PLC0415

    path.write_bytes(cv2.imencode(".png", draw_sheet(inverted, samples))[1].tobytes())
    err.print(f"{path}: it shows pictures of your data; treat it like them", highlight=False)


def _print(bundle: Path, found: Leakage) -> None:
    truth = {"from": "the true pictures", "bytes_p50": "", "psnr_db": "", "ssim": ""}
    rows: list[dict[str, object]] = [
        {**truth, "accuracy": found.accuracy, "auroc": _shown(found.auroc)},
        *(_line(f"features ×{rate.coarseness}", rate) for rate in found.rates),
        _line("nothing", found.nothing),
    ]
    print_table(f"{bundle.name}: reconstructions of {found.tested} test pictures", rows)
    out.print(f"The inverter saw {found.trained} training pictures, {found.epochs} times.")
    out.print(f"Features are not anonymous: {describe(found)}.", highlight=False)


def _line(source: str, rate: Reconstruction) -> dict[str, object]:
    return {
        "from": source,
        "bytes_p50": f"{rate.bytes_p50:.0f}",
        "psnr_db": rate.psnr,
        "ssim": rate.ssim,
        "accuracy": rate.accuracy,
        "auroc": _shown(rate.auroc),
    }


def _shown(area: float | None) -> float | str:
    return "one label only" if area is None else area
