"""The commands of `splitsight fleet`."""

from __future__ import annotations

from shared import command_options as option

app = option.group(
    "The devices of a site.",
    {
        "init": "fleet.identity.cli:init",
        "devices": "fleet.identity.cli:devices",
        "claim": "fleet.identity.cli:claim",
        "revoke": "fleet.identity.cli:revoke",
        "readmit": "fleet.identity.cli:readmit",
        "release": "fleet.releases.cli:app",
        "rollout": "fleet.rollouts.cli:app",
        "health": "fleet.rollouts.cli:health",
        "configure": "fleet.rollouts.cli:configure",
        "federate": "fleet.rounds.cli:federate",
        "candidate": "fleet.rounds.candidates.cli:app",
        "collect": "fleet.collection.cli:collect",
        "image": "fleet.flash.cli:image",
        "flash": "fleet.flash.cli:flash",
        "boot": "fleet.flash.cli:boot",
        "install": "fleet.installation.cli:install",
        "uninstall": "fleet.installation.cli:uninstall",
    },
)
