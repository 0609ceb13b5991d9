"""The commands of `splitsight cloud`."""

from __future__ import annotations

import typer

from cloud.serving import serve
from cloud.training import cli as training

app = typer.Typer(no_args_is_help=True, help="The cloud service, and the making of bundles.")


@app.callback()
def cloud() -> None:
    """The cloud service, and the making of bundles."""


app.command()(serve)
app.command()(training.train)
app.command()(training.evaluate)
