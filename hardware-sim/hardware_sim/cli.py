"""The commands of `splitsight sim`."""

from __future__ import annotations

from shared import command_options as option

app = option.group(
    "Plants without hardware.",
    {
        "line": "hardware_sim.line.cli:line",
        "fleet": "hardware_sim.scale.fleet.cli:fleet",
        "plan": "hardware_sim.scale.plan.cli:plan",
        "run": "hardware_sim.scenario.cli:run",
        "rollout": "hardware_sim.scale.rollout.cli:rollout",
        "demo": "hardware_sim.demo.cli:demo",
    },
)
