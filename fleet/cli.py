"""`splitsight fleet`: the devices of a site."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fleet.devices import CloudAddress, list_devices
from shared.console import Format, out, print_json, print_table

TOKEN_VARIABLE = "SPLITSIGHT_TOKEN"  # noqa: S105 - the variable's name, not a secret

app = typer.Typer(no_args_is_help=True, help="The devices of a site.")


@app.callback()
def fleet() -> None:
    """The devices of a site."""


@app.command()
def devices(
    cloud: Annotated[str, typer.Option(help="Where the cloud is.")] = "http://127.0.0.1:8765",
    format_: Annotated[Format, typer.Option("--format", help="For people or programs.")] = "text",
) -> None:
    """List devices with their state. A token is read from SPLITSIGHT_TOKEN."""
    rows = list_devices(CloudAddress(cloud, os.environ.get(TOKEN_VARIABLE)))
    if format_ == "json":
        print_json(rows)
    elif rows:
        print_table("devices", rows)
    else:
        out.print("no device has reported yet: start one with `splitsight edge run`")
