"""The commands of `splitsight cloud`."""

from __future__ import annotations

import typer

from cloud.evaluation.agreement_cli import parity
from cloud.evaluation.certify_cli import certify
from cloud.evaluation.evaluate_cli import evaluate
from cloud.leakage.cli import leakage
from cloud.server import serve
from cloud.training import cli as training
from cloud.training.base_cli import base

app = typer.Typer(no_args_is_help=True, help="The cloud service, and the making of bundles.")


@app.callback()
def cloud() -> None:
    """The cloud service, and the making of bundles."""


app.command()(serve)
app.command()(training.train)
app.command()(evaluate)
app.command()(certify)
app.command()(leakage)
app.command()(parity)
app.command()(base)
