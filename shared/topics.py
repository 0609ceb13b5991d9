"""Every topic name, in one place: splitsight/v1/{site}/{line}/{device}/{channel}."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from shared.errors import SettingsError, WireError

PREFIX = "splitsight/v1"
Channel = Literal[
    "escalation",
    "verdict",
    "inspections",
    "receipt",
    "state",
    "command",
    "reply",
    "label",
    "labelled",
    "round",
    "answer",
]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Address:
    """A device's place in the plant. Raises SettingsError for a name that no topic can carry."""

    site: str
    line: str
    device: str

    def __post_init__(self) -> None:
        for kind in ("site", "line", "device"):
            name = getattr(self, kind)
            if not NAME.fullmatch(name):
                raise SettingsError(
                    f"{kind} is {name!r}",
                    fix="use 1 to 63 of letters, digits, `-`, `_` and `.`, a letter or digit first",
                )

    def topic(self, channel: Channel) -> str:
        return f"{PREFIX}/{self.site}/{self.line}/{self.device}/{channel}"


def everyone(channel: Channel, *, shared_as: str | None = None) -> str:
    """The filter for one channel of every device.

    shared_as   the name of an MQTT 5 shared subscription, whose members divide the messages
    """
    topic_filter = f"{PREFIX}/+/+/+/{channel}"
    return f"$share/{shared_as}/{topic_filter}" if shared_as else topic_filter


def parse(topic: str) -> tuple[Address, Channel]:
    """The sender's address and the channel. Raises WireError for a topic that is not ours."""
    parts = topic.split("/")
    if len(parts) == 6 and "/".join(parts[:2]) == PREFIX:
        for channel in CHANNELS:
            if parts[5] == channel and all(NAME.fullmatch(name) for name in parts[2:5]):
                return Address(*parts[2:5]), channel
    raise WireError(f"{topic!r} is not a topic of {PREFIX}", fix="check what publishes there")
