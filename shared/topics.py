"""Every topic name, in one place: splitsight/v1/{site}/{line}/{device}/{channel}.

`handed` alone has one step more, the pair: what a worker of the cloud without its tail hands on.
"""

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
    "handed",
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

    def handed(self, pair: str) -> str:
        """Where an escalation of this device goes on to the workers that serve its pair.

        Raises WireError for a pair that no topic can carry.
        """
        return f"{self.topic('handed')}/{_step(pair)}"


def everyone(channel: Channel, *, shared_as: str | None = None) -> str:
    """The filter for one channel of every device.

    shared_as   the name of an MQTT 5 shared subscription, whose members divide the messages
    """
    topic_filter = f"{PREFIX}/+/+/+/{channel}"
    return f"$share/{shared_as}/{topic_filter}" if shared_as else topic_filter


def everyone_handed(pair: str, *, shared_as: str) -> str:
    """The filter for what is handed on of every device to those who serve a pair.

    Raises WireError for a pair that no topic can carry.
    """
    return f"{everyone('handed', shared_as=shared_as)}/{_step(pair)}"


def _step(pair: str) -> str:
    if not NAME.fullmatch(pair):
        raise WireError(f"the pair is {pair[:80]!r}", fix="63 letters and digits at most")
    return pair


def parse(topic: str) -> tuple[Address, Channel]:
    """The sender's address and the channel. Raises WireError for a topic that is not ours."""
    parts = topic.split("/")
    if parts[5:6] == ["handed"] and len(parts) == 7 and NAME.fullmatch(parts[6]):
        parts.pop()
    if len(parts) == 6 and "/".join(parts[:2]) == PREFIX:
        for channel in CHANNELS:
            if parts[5] == channel and all(NAME.fullmatch(name) for name in parts[2:5]):
                return Address(*parts[2:5]), channel
    raise WireError(f"{topic!r} is not a topic of {PREFIX}", fix="check what publishes there")
