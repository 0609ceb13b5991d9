"""The commands of `splitsight fleet`."""

from __future__ import annotations

from fleet.flash import cli as flash
from fleet.identity import cli as identity
from fleet.installation import cli as installation
from fleet.releases import cli as releases
from fleet.rollouts import cli as rollouts
from fleet.rounds import cli as rounds
from fleet.rounds.candidates import cli as candidates
from shared.command_options import command_group

app = command_group("The devices of a site.")

app.command()(identity.init)
app.command()(identity.devices)
app.command()(identity.claim)
app.command()(identity.revoke)
app.command()(identity.readmit)
app.add_typer(releases.app, name="release")
app.add_typer(rollouts.app, name="rollout")
app.command()(rollouts.health)
app.command()(rollouts.configure)
app.command()(rounds.federate)
app.add_typer(candidates.app, name="candidate")
app.add_typer(flash.image, name="image")
app.command()(flash.flash)
app.command()(flash.boot)
app.command()(installation.install)
app.command()(installation.uninstall)
