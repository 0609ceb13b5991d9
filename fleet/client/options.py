"""Options that several commands of the fleet have, and the secrets that its shell holds."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

from fleet.client.cloud_api import CloudAddress

HERE = "http://127.0.0.1:8765"
DEFAULT_FOLDER = Path("fleet")

CloudOption = Annotated[str, typer.Option("--cloud", help="Where the cloud is.")]
FolderOption = Annotated[Path, typer.Option("--folder", help="The fleet's folder.")]
ByOption = Annotated[
    str, typer.Option("--by", help="Who wants it; it is kept.", default_factory=getpass.getuser)
]
HoursOption = Annotated[float, typer.Option(min=0.01, help="How long the claim can be used.")]
PlanOption = Annotated[
    Path | None, typer.Option(help="Rings, thresholds and windows; none: 1, 5 %, 25 %, all.")
]
CanaryOption = Annotated[str | None, typer.Option(help="Glob of SITE/LINE/DEVICE to try it first.")]
KeysOption = Annotated[
    list[Path] | None, typer.Option("--key", help="A key to sign with; again for several.")
]


def cloud_at(url: str) -> CloudAddress:
    """The cloud at an address, with the token of this shell."""
    return CloudAddress(url, os.environ.get("SPLITSIGHT_TOKEN"))


def key_passphrase() -> str | None:
    """What locks people's keys, where this shell says so."""
    return os.environ.get("SPLITSIGHT_KEY_PASSPHRASE")
