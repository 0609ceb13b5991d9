"""What a user says of pictures to a training: a file of settings, and two of them as options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from shared.errors import SettingsError
from shared.features.pixel_settings import AS_IT_IS, Bayer, PixelSettings
from shared.settings import load_settings

DepthName = Literal["auto", "8", "10", "12", "14", "16", "float"]
PixelsFile = Annotated[
    Path | None,
    typer.Option(
        "--pixel-settings", help="YAML file: depth, mosaic, crop, corners, ignored areas."
    ),
]
DepthOption = Annotated[
    DepthName, typer.Option("--depth", help="Bits of a pixel; auto: found out.")
]
BayerOption = Annotated[Bayer, typer.Option("--bayer", help="First two pixels of a raw mosaic.")]


def wanted_pixels(file: Path | None, depth: DepthName, bayer: Bayer) -> PixelSettings:
    """The file's settings and the options' together.

    Raises SettingsError for a file that can't be read, or where both say different things.
    """
    settings = AS_IT_IS if file is None else load_settings(file, PixelSettings)
    said: dict[str, object] = {}
    if depth != "auto":
        said["depth"] = int(depth) if depth.isdigit() else depth
    if bayer != "none":
        said["bayer"] = bayer
    for name, value in said.items():
        before = getattr(settings, name)
        if before not in {getattr(AS_IT_IS, name), value}:
            raise SettingsError(
                f"{file} says {name}: {before}, the option --{name} {value}",
                fix="keep one of them",
            )
    return PixelSettings.model_validate({**settings.model_dump(), **said})
