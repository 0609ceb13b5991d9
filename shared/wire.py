"""Messages ↔ bytes.

A payload is `SPL` + one version byte + the header's length (big-endian uint16) + a msgpack
header + the body. The header is a tagged msgspec struct; the body is feature bytes, or empty.
Sizes are checked before anything is decoded, unknown fields are ignored, and an unknown
version or kind is refused by name.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec

from shared.contracts import (
    DeviceState,
    PictureKind,
    PicturePolicy,
    PlainVerdict,
    TileShares,
    Verdict,
)
from shared.errors import WireError
from shared.inspection import LARGEST_NUMBER, Inspection, with_review, without_review

MAGIC = b"SPL"
VERSION = 1
MAX_HEADER = 60 * 1024
MAX_BODY = 256 * 1024
MAX_PAYLOAD = 6 + MAX_HEADER + MAX_BODY
MAX_BATCH = 100
MAX_MASK = 8 * 1024
MAX_PICTURE = 8 << 20
"""Bytes of a picture that is shown on demand."""
DIGEST = 16
_PREFIX = struct.Struct(">3sBH")

# What goes into a database of box or cloud is of its types before it gets there: a number of 2⁶³,
# a NaN or a NUL raises in the thread that stores everybody's.
Number = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_NUMBER)]
Finite = Annotated[float, msgspec.Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_CORNERS = 4
_SLIVER = 1e-4
_Place = Annotated[tuple[Share, ...], msgspec.Meta(max_length=_CORNERS)]
Text = Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[^\x00]*\Z")]


class Message(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    """What every header has. Field names are short words, since they travel each time."""


class Escalation(Message, frozen=True, tag="escalation"):
    """A part that the edge is not sure of; the body is its encoded features.

    pair        the id of the head and tail that belong together
    shape       of the features: channels, height, width
    expires     UTC seconds of the deadline, by the device's clock
    remaining   seconds from sending to the deadline; 0 or less: too late to be actuated
    score       the head's, 0–1
    coarseness  of the body's symbols, a rung of the codec's `LADDER`; 1 is as fine as can be
    tile        of which tile of the picture the features are: left, top, right and bottom in shares
                of what the network sees of it, 0–1; empty: of the whole picture
    """

    boot: str
    sequence: Number
    part: Number
    pair: str
    shape: tuple[int, int, int]
    remaining: float
    expires: float
    score: float
    frame_bytes: Number = 0
    coarseness: Number = 1
    tile: _Place = ()

    @property
    def place(self) -> TileShares | None:
        """The tile; None of a whole picture, and of numbers that are none."""
        if len(self.tile) != _CORNERS:
            return None
        left, top, right, bottom = self.tile
        seen = right - left >= _SLIVER and bottom - top >= _SLIVER
        return (left, top, right, bottom) if seen else None


class Probe(Message, frozen=True, tag="probe"):
    """A worker of the cloud asks, where devices speak, whether what is sent there arrives; whoever
    takes it sends it back on `verdict`.

    channel   on which it was sent
    number    counts up
    """

    channel: str
    number: int


class CloudVerdict(Message, frozen=True, tag="verdict"):
    """The cloud's answer to an escalation.

    verdict  what a box does that knows no review: it diverts what a person shall look at
    score    head and tail together, 0–1
    defect   the likeliest kind of defect of a rejected part; empty where the bundle knows none
    review   a person shall look at the part, which is diverted until then
    """

    boot: str
    sequence: Number
    part: Number
    verdict: PlainVerdict
    score: float
    defect: str = ""
    review: bool = False

    @property
    def ruling(self) -> Verdict:
        """The system's verdict."""
        return "review" if self.review else self.verdict


class Inspections(Message, frozen=True, tag="inspections"):
    """Decided inspections, at most MAX_BATCH. The cloud answers with a `Receipt` of `batch`.

    boot     the sender's present one; rows may be left from earlier ones
    rows     in words that a cloud without review reads: what a person shall look at is a reject
    reviews  positions in `rows` of parts whose verdict is `review`
    """

    boot: str
    batch: Number
    rows: list[Inspection]
    reviews: tuple[int, ...] = ()

    @classmethod
    def of(cls, boot: str, batch: int, inspections: Sequence[Inspection]) -> Inspections:
        """A batch of inspections with any verdict."""
        reviews = tuple(at for at, one in enumerate(inspections) if one.verdict == "review")
        return cls(boot, batch, [without_review(one) for one in inspections], reviews)

    @property
    def inspections(self) -> list[Inspection]:
        """The rows with the verdicts that were given."""
        reviews = set(self.reviews)
        return [with_review(row) if at in reviews else row for at, row in enumerate(self.rows)]


class Receipt(Message, frozen=True, tag="receipt"):
    """The cloud has stored a batch, named as its sender did: the device may forget it."""

    boot: str
    batch: Number


class StateMessage(Message, frozen=True, tag="state"):
    """How a device is; retained, and its will says `offline`.

    since   UTC seconds from which on each of `problems` holds, by its position
    beat_s  the device says so again after so many seconds, even when nothing has changed; 0: it is
            older than that, and does not
    """

    state: DeviceState
    boot: str
    at: float
    bundle: str = ""
    runtime: str = ""
    camera: str = ""
    inspected: Number = 0
    waiting: Number = 0
    problems: tuple[str, ...] = ()
    since: tuple[float, ...] = ()
    beat_s: float = 0.0


class Desired(Message, frozen=True, tag="desired"):
    """What a device should run; retained on `command`. A device takes the highest serial.

    serial        counts up with each change for this device
    rollout       the rollout that wants it; empty where a person set it
    targets       TUF target path by kind of release; what is not named stays as it is
    settings      settings of the agent to run with, by dotted key; None leaves them
    shadow_parts  parts that a model looks at beside the live one before it decides any
    health_s      seconds that what is new must run well before it stays
    window        minutes of the UTC day in which a switch may happen; None: at any time
    held          why the device must not change or send anything; empty: it need not hold
    back          kinds of release that go back to what ran before, the one in the other slot, even
                  though its counter is lower: a rollout was stopped after this device took part
    """

    serial: Number
    rollout: str = ""
    targets: dict[str, str] = {}
    settings: dict[str, str | int | float | bool] | None = None
    shadow_parts: Number = 20
    health_s: float = 60.0
    window: tuple[int, int] | None = None
    held: str = ""
    back: tuple[str, ...] = ()


class Reported(Message, frozen=True, tag="reported"):
    """What a device runs and how it fares; retained on `reply`.

    serial    of the Desired that it has read; 0: none yet
    running   TUF target path by kind, as it is live; empty path: as flashed or installed
    counters  the release counter of each
    phase     of an update under way, a word of `edge.updates`; idle where there is none
    target    what is being updated to
    failed    target path → why it was given up, the last of each kind
    problem   why an update does not go on right now; empty: it does, or there is none
    facts     numbers about its health: temperature_c, disk_free_bytes, queue, uptime_s, p99_ms …
    """

    serial: Number
    boot: str
    at: float
    running: dict[str, str] = {}
    counters: dict[str, Number] = {}
    phase: str = "idle"
    target: str = ""
    failed: dict[str, str] = {}
    facts: dict[str, float] = {}
    versions: dict[str, str] = {}
    problem: str = ""


class PartLabel(msgspec.Struct, frozen=True, array_like=True):
    """An inspector's label of an inspected part.

    verdict      what the part should have been given
    kind         of defect; empty where it is good or not known
    labelled_at  UTC seconds, by the cloud's clock
    mask         where the defect is: a PNG of one bit a pixel over the whole picture, at most
                 MAX_MASK bytes; empty: nobody drew it
    """

    boot: Text
    sequence: Number
    verdict: PlainVerdict
    kind: Text
    labelled_at: Finite
    mask: Annotated[bytes, msgspec.Meta(max_length=MAX_MASK)] = b""


class Withdrawal(msgspec.Struct, frozen=True, array_like=True):
    """A label that was taken back: the part has none. `at` is UTC seconds, by the cloud's clock."""

    boot: Text
    sequence: Number
    at: Finite


class Labels(Message, frozen=True, tag="labels"):
    """Labels for the device that has the pictures, and labels that were taken back; of both
    together at most MAX_BATCH. `LabelReceipts` answer."""

    rows: list[PartLabel]
    withdrawn: list[Withdrawal] = []


class LabelReceipt(msgspec.Struct, frozen=True, array_like=True):
    """What became of one label. `kept`: the picture is still there, and is kept with it.

    Of one that was taken back, `labelled_at` is when, and nothing is kept.
    """

    boot: Text
    sequence: Number
    labelled_at: Finite
    kept: bool


class LabelReceipts(Message, frozen=True, tag="labelled"):
    """Labels that are on the device's disk, or whose pictures are gone."""

    rows: list[LabelReceipt]


class Sketch(Message, frozen=True, tag="sketch"):
    """What a device measured of parts in a row, as counts in the bins of `shared.sketch`.

    number        counts up in a boot; where some are missing they were never sent
    begun, ended  UTC seconds of the first and the last part, by the device's clock
    parts         that were judged; pictures of some may not have been measured
    counts        parts by bin by quantity; quantities that are not known here are passed over
    """

    boot: Text
    number: Number
    bundle: str
    recipe: Text
    begun: Finite
    ended: Finite
    parts: Number
    counts: dict[str, dict[int, Number]]


class PictureMessage(Message, frozen=True):
    """What travels on `picture` and `pictured`.

    request   random; names what was asked for, in all its pieces
    boot, sequence   of the inspection
    what      the picture as the box has kept it, the place of it that is the most suspicious to the
              head, or the head's own defect map
    """

    request: Text
    boot: Text
    sequence: Number
    what: PictureKind


class PictureRequest(PictureMessage, frozen=True, tag="picture"):
    """A worker of the cloud wants a piece; a `PicturePiece` or a `PictureRefusal` answers.

    worker   on whose topic the answer shall come
    place    of the first byte that is wanted
    most     bytes of a piece
    """

    worker: Text
    place: Number = 0
    most: Number = MAX_BODY


class PicturePiece(PictureMessage, frozen=True, tag="piece"):
    """A piece, its bytes as the body.

    place    of the first of them in the whole
    size     bytes of the whole
    sha256   of the whole, hexadecimal
    kept     the first DIGEST digits of the sha256 of the picture that the box has kept, of which
             this is all, a part or the map
    frame    width and height of that picture; 0: not known
    window   left, top, width and height of a region within it; empty where it is no region
    bundle   that made the map, or chose the region
    """

    place: Number
    size: Number
    sha256: Text
    kept: Text = ""
    frame: tuple[Number, Number] = (0, 0)
    window: tuple[Number, ...] = ()
    bundle: Text = ""


class PictureRefusal(PictureMessage, frozen=True, tag="unpictured"):
    """The box gives no picture.

    why      policy, gone, busy, held or unreadable; a later version may have other words
    policy   the box's own
    detail   for people
    """

    why: Text
    policy: PicturePolicy = "never"
    detail: Annotated[str, msgspec.Meta(max_length=300, pattern=r"\A[^\x00]*\Z")] = ""


ParcelKind = Literal["query", "order", "base", "counts", "answer", "refusal"]


class RoundMessage(Message, frozen=True):
    """What travels on `round` and `answer`."""


class RoundPiece(RoundMessage, frozen=True, tag="part"):
    """A piece of something that travels in a federated round; the body is its bytes.

    parcel     names the whole; a base network's is its sha256
    what       a `query` or an `order` to a device and its `counts`, `answer` or `refusal`; a
               `base` network
    index      of this piece, from 0; each has `step` bytes, the last what is left
    size       bytes of the whole
    sha256     of the whole, hexadecimal
    session    of the coordinator that asks; a new one replaces what an older one asked for
    about      of what a device says: the parcel that it answers
    base       sha256 of the base network that a query or order needs
    remaining  seconds until nobody wants it any more
    """

    parcel: Text
    what: ParcelKind
    index: Number
    step: Number
    size: Number
    sha256: Text
    session: Text = ""
    about: Text = ""
    base: Text = ""
    # Infinite for what is held for ever, a base network.
    remaining: float = 0.0


class RoundAsk(RoundMessage, frozen=True, tag="ask"):
    """Which pieces of a parcel its receiver wants now; none: it has them all, or `refused` says
    why it wants none."""

    parcel: Text
    parts: tuple[Number, ...] = ()
    refused: str = ""


class RoundOver(RoundMessage, frozen=True, tag="over"):
    """No more orders follow in this session: a device may let go of what it learns with."""

    session: Text


AnyMessage = (
    Escalation
    | Probe
    | CloudVerdict
    | Inspections
    | Receipt
    | StateMessage
    | Desired
    | Reported
    | Labels
    | LabelReceipts
    | Sketch
    | PictureRequest
    | PicturePiece
    | PictureRefusal
    | RoundPiece
    | RoundAsk
    | RoundOver
)
M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: AnyMessage, body: bytes = b"") -> bytes:
    """The payload of a message. Raises WireError where it exceeds a size limit."""
    header = _encoder.encode(message)
    if len(header) > MAX_HEADER or len(body) > MAX_BODY:
        raise WireError(
            f"a {type(message).__name__} has {len(header)} B of header and {len(body)} B of body",
            fix=f"at most {MAX_HEADER} and {MAX_BODY} can be sent",
        )
    return _PREFIX.pack(MAGIC, VERSION, len(header)) + header + body


def decode(payload: bytes, kind: type[M]) -> tuple[M, bytes]:
    """The message of one kind and its body.

    Raises WireError for a payload that is short, long, not ours, of another version or kind.
    """
    if len(payload) > MAX_PAYLOAD:
        raise WireError(f"{len(payload)} B came, at most {MAX_PAYLOAD} are read", fix=_FOREIGN)
    if len(payload) < _PREFIX.size:
        raise WireError(f"{len(payload)} B came, a message has at least 6", fix=_FOREIGN)
    magic, version, length = _PREFIX.unpack_from(payload)
    if magic != MAGIC:
        raise WireError(f"the payload begins with {magic!r}, not {MAGIC!r}", fix=_FOREIGN)
    if version != VERSION:
        raise WireError(
            f"the message has version {version}, this side reads {VERSION}",
            fix="update the older side",
        )
    end = _PREFIX.size + length
    if length > MAX_HEADER or len(payload) < end:
        raise WireError(
            f"the header should be {length} B, {len(payload) - _PREFIX.size} came", fix=_FOREIGN
        )
    if len(payload) - end > MAX_BODY:
        raise WireError(f"the body is {len(payload) - end} B, at most {MAX_BODY}", fix=_FOREIGN)
    try:
        message = _decoder.decode(payload[_PREFIX.size : end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"the header can't be read: {error}", fix=_FOREIGN) from error
    return require_kind(message, kind), payload[end:]


def require_kind(message: Message, kind: type[M]) -> M:
    """The message. Raises WireError where it is of another kind."""
    if not isinstance(message, kind):
        raise WireError(
            f"a {type(message).__name__} came where a {kind.__name__} was wanted", fix=_FOREIGN
        )
    return message


_FOREIGN = "check what publishes on this topic"
