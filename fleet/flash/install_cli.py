"""`splitsight fleet install|uninstall`: the agent as a service of a machine that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.flash.application import source_folder
from fleet.flash.install import (
    PREFIX,
    Place,
    carry_out,
    install_steps,
    require_here,
    uninstall_steps,
)
from shared.console import out
from shared.errors import ImageError

Prefix = Annotated[Path, typer.Option(help="For the agent's programs.")]
Root = Annotated[Path, typer.Option(help="Install below this folder instead, and start nothing.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")]


def install(
    site: Annotated[Path, typer.Option(help="The configuration of the box (site.yaml).")],
    prefix: Prefix = PREFIX,
    root: Root = Path("/"),
    source: Annotated[
        str, typer.Option("--from", help="What pip installs; empty: this checkout, or PyPI.")
    ] = "",
    dry_run: DryRun = False,
) -> None:
    """Run the agent as a systemd service of this machine. Running it again changes nothing."""
    place = Place(root.resolve(), prefix)
    if not dry_run:
        require_here(place)
    steps = install_steps(place, site, source or _source())
    changed = carry_out(steps, _say, dry_run=dry_run)
    if not changed:
        _say("all of it was so already")
    elif not dry_run and place.is_here:
        _say(f"look at it with `journalctl -fu splitsight` and `{prefix}/bin/splitsight doctor`")


def uninstall(prefix: Prefix = PREFIX, root: Root = Path("/"), dry_run: DryRun = False) -> None:
    """Remove the service and its programs; /var/lib/splitsight stays."""
    place = Place(root.resolve(), prefix)
    if not dry_run:
        require_here(place)
    carry_out(uninstall_steps(place), _say, dry_run=dry_run)


def _source() -> str:
    try:
        return str(source_folder())
    except ImageError:
        return "splitsight"


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False, soft_wrap=True)
