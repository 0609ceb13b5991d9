"""`splitsight cloud base`: what federated rounds start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shared.console import Format, out, print_json
from shared.errors import MissingExtra


def base(
    run: Annotated[Path, typer.Option(help="The run folder of a finished training.")],
    target: Annotated[Path, typer.Option("--out", help="The file to write, for example base.npz.")],
    format_: Annotated[Format, typer.Option("--format", help="For people or programs.")] = "text",
) -> None:
    """Write a training's averaged network as the base of federated rounds."""
    try:
        from cloud.training.checkpoint import trained_net  # noqa: PLC0415
        from shared.federation.base_network import BaseNetwork  # noqa: PLC0415
        from shared.splitnet.base_network import export_base  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("train", error) from error
    export_base(trained_net(run), target)
    written = BaseNetwork.read(target)
    if format_ == "json":
        print_json({"file": str(target), "sha256": written.sha256})
    else:
        out.print(f"{target}: sha256 {written.sha256}", highlight=False, soft_wrap=True)
