"""`splitsight fleet install|uninstall`: the agent as a service of a machine that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.flash.application import source_folder
from fleet.installation.steps import (
    PREFIX,
    Place,
    carry_out,
    install_steps,
    require_here,
    uninstall_steps,
)
from shared import command_options as option
from shared.console import print_text
from shared.errors import ImageError

PrefixOption = Annotated[Path, typer.Option(help="For the agent's programs.")]
RootOption = Annotated[
    Path, typer.Option(help="Install below this folder instead, and start nothing.")
]


def install(
    site: Annotated[
        Path, typer.Option("--config", "-c", help="YAML file of settings; of the box, site.yaml.")
    ],
    prefix: PrefixOption = PREFIX,
    root: RootOption = Path("/"),
    source: Annotated[
        str, typer.Option("--from", help="What pip installs; empty: this checkout, or PyPI.")
    ] = "",
    dry_run: option.DryRun = False,
) -> None:
    """Local: run the agent as a systemd service of this machine. Repeating it changes nothing."""
    place = Place(root.resolve(), prefix)
    if not dry_run:
        require_here(place)
    steps = install_steps(place, site, source or _source())
    changed = carry_out(steps, print_text, dry_run=dry_run)
    if not changed:
        print_text("all of it was so already")
    elif not dry_run and place.is_here:
        doctor = f"{prefix}/bin/splitsight doctor"
        print_text(f"look at it with `journalctl -fu splitsight` and `{doctor}`")


def uninstall(
    prefix: PrefixOption = PREFIX, root: RootOption = Path("/"), dry_run: option.DryRun = False
) -> None:
    """Local: remove the service and its programs; /var/lib/splitsight stays."""
    place = Place(root.resolve(), prefix)
    if not dry_run:
        require_here(place)
    carry_out(uninstall_steps(place), print_text, dry_run=dry_run)


def _source() -> str:
    try:
        return str(source_folder())
    except ImageError:
        return "splitsight"
