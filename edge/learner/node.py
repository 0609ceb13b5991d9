"""A device as a node of Flower's own engine, for those who run SuperLink and SuperNodes.

Flower starts a process for each message, so everything comes from the node's configuration:
`device`, `base` and `state`, and either `journal` or a data set's `manifest`, of which the device
is a domain.
"""

from __future__ import annotations

from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from edge.learner.client_app import client_app
from edge.learner.device import LearningDevice
from edge.learner.folder import read_domains
from edge.learner.local_state import LocalState
from edge.learning.journal_parts import JournalParts
from edge.learning.labelled_parts import LabelledParts
from shared.errors import SettingsError
from shared.federation.base_network import BaseNetwork


class NodeApp(ClientApp):
    """Answers as the device that the node's configuration names."""

    def __call__(self, message: Message, context: Context) -> Message:
        config = {name: str(value) for name, value in context.node_config.items()}
        return client_app(device_of(config))(message, context)


def device_of(config: dict[str, str]) -> LearningDevice:
    """The device that a node's configuration describes. Raises SettingsError where it lacks
    something, SplitsightError where a file can't be read."""
    lacking = {"device", "base", "state"} - set(config)
    if lacking or not ("journal" in config or "manifest" in config):
        raise SettingsError(
            f"the node's configuration lacks {', '.join(sorted(lacking)) or 'its pictures'}",
            fix="--node-config \"device='box-1' base='…' state='…' journal='…'\"",
        )
    device = config["device"]
    parts: LabelledParts
    if "journal" in config:
        parts = JournalParts(Path(config["journal"]), device)
    else:
        parts = read_domains(Path(config["manifest"]), (device,))[device]
    return LearningDevice(
        parts, BaseNetwork.read(Path(config["base"])), LocalState(Path(config["state"]))
    )


app = NodeApp()
