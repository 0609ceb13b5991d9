"""Every topic name, in one place: splitsight/v1/{site}/{line}/{device}/{channel}.

Two have one step more: `handed` the pair, for what a worker of the cloud without its tail hands on,
and `pictured` the worker that has asked for a picture.
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
    "sketch",
    "picture",
    "pictured",
]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
LONGER: tuple[Channel, ...] = ("handed", "pictured")
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

    def pictured(self, worker: str) -> str:
        """Where this device answers a worker that has asked for a picture: below its own name, as
        brokers want it. Raises WireError for a worker that no topic can carry."""
        return f"{self.topic('pictured')}/{_step(worker)}"


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


def alert_topic(site: str = "", line: str = "") -> str:
    """Where notices of a line's alerts are published; without a line, those of the cloud itself.

    No device speaks there: it is one step shorter than theirs.
    """
    return "/".join(step for step in (PREFIX, site, line, "alert") if step)


def everyone_pictured(worker: str) -> str:
    """The filter for every device's answers to one worker. Raises WireError as `pictured`."""
    return f"{everyone('pictured')}/{_step(worker)}"


def _step(name: str) -> str:
    if not NAME.fullmatch(name):
        raise WireError(f"a topic would end in {name[:80]!r}", fix="63 letters and digits at most")
    return name


def parse(topic: str) -> tuple[Address, Channel]:
    """The sender's address and the channel. Raises WireError for a topic that is not ours."""
    parts = topic.split("/")
    if len(parts) == 7 and parts[5] in LONGER and NAME.fullmatch(parts[6]):
        parts.pop()
    if len(parts) == 6 and "/".join(parts[:2]) == PREFIX:
        for channel in CHANNELS:
            if parts[5] == channel and all(NAME.fullmatch(name) for name in parts[2:5]):
                return Address(*parts[2:5]), channel
    raise WireError(f"{topic!r} is not a topic of {PREFIX}", fix="check what publishes there")
