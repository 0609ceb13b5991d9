"""What a simulated line and those around it say to each other; see `processes.unix_socket`.

The body of a picture is its pixels; other messages have none. All times are seconds on the
machine's monotonic clock, which every process on it shares.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from hardware_sim.line.ejector import TruthTable
from hardware_sim.processes.unix_socket import RequestRefused, SocketMessage
from shared.contracts import Verdict

BEAT_S = 1.0
"""A line that has nothing to say to a camera says so, this often."""

Number = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Side = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Plain = str | int | float | bool | None


class Hello(SocketMessage, frozen=True):
    """The first word to a camera. `run` is another after each start: numbers begin anew."""

    run: str


class Picture(SocketMessage, frozen=True):
    """A part's picture; the body is its pixels, uint8, row by row.

    deadline   the last instant at which the ejector can still obey, as the belt runs now
    """

    part: Number
    triggered: float
    deadline: float
    height: Side
    width: Side
    channels: int
    source: str


class Missing(SocketMessage, frozen=True):
    """The sensor saw a part, and no picture of it came.

    gone   the camera is disconnected: more will be missing until it is back
    """

    part: Number
    triggered: float
    deadline: float
    gone: bool


class Beat(SocketMessage, frozen=True):
    """The line is there, and no part has come by."""


class Ended(SocketMessage, frozen=True):
    """There will be no more parts."""


class LineState(SocketMessage, frozen=True):
    """How a line is.

    photographed, ejected   numbers of the last parts to pass camera and ejector, 0 before them
    burst                   parts of the present burst that are still to be drawn
    effects                 what is wrong with the camera, each with its parameters
    cameras                 how many boxes watch
    unread                  frames thrown away since a box did not read fast enough
    """

    run: str
    speed: float
    photographed: int
    ejected: int
    over: bool
    burst: int
    effects: list[dict[str, Plain]]
    cameras: int
    unread: int
    table: TruthTable


class CommandDone(SocketMessage, frozen=True):
    """What was asked for is done."""


class WatchCamera(SocketMessage, frozen=True):
    """A camera: send me the parts from now on."""


class SetEffect(SocketMessage, frozen=True):
    """Switch an effect of `hardware_sim.camera.faults` on: its kind and its parameters."""

    effect: dict[str, Plain]


class ClearEffect(SocketMessage, frozen=True):
    """Switch one kind of effect off, or all."""

    effect: str | None = None


class Burst(SocketMessage, frozen=True):
    """Of the next parts to be drawn, this share is defective."""

    parts: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class ChangeSpeed(SocketMessage, frozen=True):
    """Run the belt at another speed, m/s, from now on."""

    speed: float


class Actuate(SocketMessage, frozen=True):
    """Tell the ejector, as the `mqtt` actuator does on its topic."""

    part: Number
    verdict: Verdict
    in_ms: float = 0.0


class StateQuery(SocketMessage, frozen=True):
    """How are you? The answer is a LineState."""


FromLine = Hello | Picture | Missing | Beat | Ended | LineState | CommandDone | RequestRefused
ToLine = WatchCamera | SetEffect | ClearEffect | Burst | ChangeSpeed | Actuate | StateQuery

from_line: msgspec.msgpack.Decoder[FromLine] = msgspec.msgpack.Decoder(FromLine)
to_line: msgspec.msgpack.Decoder[ToLine] = msgspec.msgpack.Decoder(ToLine)
