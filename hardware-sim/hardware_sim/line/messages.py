"""What a simulated line and those around it say to each other over a Unix-domain stream.

A frame is the header's and the body's length (big-endian uint32 each), a msgpack header, and the
body: a picture's pixels, or nothing. Lengths are checked before anything is read. All times are
seconds on the machine's monotonic clock, which every process on it shares.
"""

from __future__ import annotations

import socket
import struct
from typing import Annotated, TypeVar

import msgspec

from hardware_sim.line.ejector import TruthTable
from shared.contracts import Verdict
from shared.errors import WireError

MAX_HEADER = 64 * 1024
MAX_BODY = 32 * 1024 * 1024
BEAT_S = 1.0
"""A line that has nothing to say to a camera says so, this often."""
_LENGTHS = struct.Struct(">II")

Number = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Side = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Plain = str | int | float | bool | None


class _Said(msgspec.Struct, frozen=True, tag=True, tag_field="kind"):
    """What every header has."""


class Hello(_Said, frozen=True):
    """The first word to a camera. `run` is another after each start: numbers begin anew."""

    run: str


class Picture(_Said, frozen=True):
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


class Missing(_Said, frozen=True):
    """The sensor saw a part, and no picture of it came.

    gone   the camera is disconnected: more will be missing until it is back
    """

    part: Number
    triggered: float
    deadline: float
    gone: bool


class Beat(_Said, frozen=True):
    """The line is there, and no part has come by."""


class Ended(_Said, frozen=True):
    """There will be no more parts."""


class LineState(_Said, frozen=True):
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


class CommandDone(_Said, frozen=True):
    """What was asked for is done."""


class CommandRefused(_Said, frozen=True):
    """What was asked for can't be done."""

    message: str
    fix: str


class WatchCamera(_Said, frozen=True):
    """A camera: send me the parts from now on."""


class SetEffect(_Said, frozen=True):
    """Switch an effect of `hardware_sim.camera.faults` on: its kind and its parameters."""

    effect: dict[str, Plain]


class ClearEffect(_Said, frozen=True):
    """Switch one kind of effect off, or all."""

    effect: str | None = None


class Burst(_Said, frozen=True):
    """Of the next parts to be drawn, this share is defective."""

    parts: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0


class ChangeSpeed(_Said, frozen=True):
    """Run the belt at another speed, m/s, from now on."""

    speed: float


class Actuate(_Said, frozen=True):
    """Tell the ejector, as the `mqtt` actuator does on its topic."""

    part: Number
    verdict: Verdict
    in_ms: float = 0.0


class StateQuery(_Said, frozen=True):
    """How are you? The answer is a LineState."""


FromLine = Hello | Picture | Missing | Beat | Ended | LineState | CommandDone | CommandRefused
ToLine = WatchCamera | SetEffect | ClearEffect | Burst | ChangeSpeed | Actuate | StateQuery
M = TypeVar("M", FromLine, ToLine)

from_line: msgspec.msgpack.Decoder[FromLine] = msgspec.msgpack.Decoder(FromLine)
to_line: msgspec.msgpack.Decoder[ToLine] = msgspec.msgpack.Decoder(ToLine)
_encoder = msgspec.msgpack.Encoder()


def send(stream: socket.socket, message: FromLine | ToLine, body: bytes | memoryview = b"") -> None:
    """Raises OSError where the other side is gone, WireError for what is too long to be read."""
    header = _encoder.encode(message)
    _require_lengths(len(header), len(body))
    stream.sendall(_LENGTHS.pack(len(header), len(body)) + header)
    if body:
        stream.sendall(body)


def receive(
    stream: socket.socket, decoder: msgspec.msgpack.Decoder[M]
) -> tuple[M, bytearray] | None:
    """The next message and its body; None where the other side has closed.

    Raises WireError for what is not a message, OSError for a connection that broke.
    """
    lengths = _read(stream, _LENGTHS.size)
    if lengths is None:
        return None
    in_header, in_body = _LENGTHS.unpack(lengths)
    _require_lengths(in_header, in_body)
    header, body = _read(stream, in_header), _read(stream, in_body)
    if header is None or body is None:
        return None
    try:
        return decoder.decode(header), body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"the header can't be read: {error}", fix=_FOREIGN) from error


def _require_lengths(header: int, body: int) -> None:
    if header > MAX_HEADER or body > MAX_BODY:
        raise WireError(
            f"{header} B of header and {body} B of body; at most {MAX_HEADER} and {MAX_BODY}",
            fix=_FOREIGN,
        )


def _read(stream: socket.socket, length: int) -> bytearray | None:
    data = bytearray(length)
    view, filled = memoryview(data), 0
    while filled < length:
        count = stream.recv_into(view[filled:])
        if not count:
            return None
        filled += count
    return data


_FOREIGN = "check what else uses the line's socket, and that both sides have one version"
