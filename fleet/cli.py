"""`splitsight fleet`: the devices of a site."""

from __future__ import annotations

import typer

from fleet.flash import cli as flash
from fleet.flash import install_cli
from fleet.identity import cli as identity
from fleet.releases.cli import app as release
from fleet.rollouts import cli as rollouts
from fleet.rounds.candidates.cli import app as candidate
from fleet.rounds.cli import federate

app = typer.Typer(no_args_is_help=True, help="The devices of a site.")


@app.callback()
def fleet() -> None:
    """The devices of a site."""


app.command()(identity.init)
app.command()(identity.devices)
app.command()(identity.claim)
app.command()(identity.revoke)
app.command()(identity.readmit)
app.add_typer(release, name="release")
app.add_typer(rollouts.app, name="rollout")
app.command()(rollouts.health)
app.command()(rollouts.configure)
app.command()(federate)
app.add_typer(candidate, name="candidate")
app.add_typer(flash.image, name="image")
app.command()(flash.flash)
app.command()(flash.boot)
app.command()(install_cli.install)
app.command()(install_cli.uninstall)
