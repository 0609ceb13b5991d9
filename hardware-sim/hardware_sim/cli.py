"""The commands of `splitsight sim`, and `splitsight demo`."""

from __future__ import annotations

import typer

from hardware_sim.demo.cli import demo
from hardware_sim.line.cli import line
from hardware_sim.scale.fleet.cli import fleet
from hardware_sim.scale.plan.cli import plan
from hardware_sim.scale.rollout.cli import rollout
from hardware_sim.scenario.cli import run
from shared.command_options import command_group

app = command_group("Plants without hardware.")
demo_app = typer.Typer(add_completion=False)

app.command()(line)
app.command()(fleet)
app.command()(plan)
app.command()(run)
app.command()(rollout)
app.command()(demo)
demo_app.command()(demo)
