"""The domain's own types: what travels between camera, head, gate, journal, wire and records.

Clocks: `triggered` and `deadline` are seconds on the box's monotonic clock and mean nothing on
another machine; `*_at` are seconds since 1970 UTC and may jump. No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["pass", "reject", "review"]
PlainVerdict = Literal["pass", "reject"]
Decider = Literal["edge", "cloud", "deadline", "inspector"]
Control = Literal["", "pass", "reject", "review"]
DeviceState = Literal["online", "stopping", "offline"]
PictureKind = Literal["full", "region", "map"]
PicturePolicy = Literal["never", "region", "full"]
TileShares = tuple[float, float, float, float]
"""Left, top, right and bottom in shares of the picture as it was cut out and turned, 0–1."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
DECIDERS: tuple[Decider, ...] = get_args(Decider)

FAIL_SAFE: PlainVerdict = "reject"
_SHOWN: dict[PicturePolicy, tuple[PictureKind, ...]] = {
    "never": (),
    "region": ("region", "map"),
    "full": ("full", "region", "map"),
}


def plain_verdict(verdict: Verdict) -> PlainVerdict:
    """What is done by whoever knows no review: what a person shall look at is diverted."""
    return FAIL_SAFE if verdict == "review" else verdict


def shows(policy: PicturePolicy, what: PictureKind) -> bool:
    """Whether a policy lets this leave the box: `never` lets out no map either."""
    return what in _SHOWN[policy]


def stricter(one: PicturePolicy, other: PicturePolicy) -> PicturePolicy:
    """What two sides allow together."""
    return min(one, other, key=tuple(_SHOWN).index)


class Decision(StrEnum):
    """What the gate says of a score; `review` where a bundle asks no cloud."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REJECT = "reject"
    ESCALATE = "escalate"
    REVIEW = "review"


class InspectionKey(NamedTuple):
    """Names one inspection for ever: nothing is stored twice under one key.

    device    the device's name, unique in its site
    boot      random for each start of the agent, so that a reset counter can't collide
    sequence  counts up from 1 within a boot
    """

    device: str
    boot: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one part, as the camera gave it.

    pixels     uint8, (height, width) grey or (height, width, 3) BGR, C-contiguous
    part       the part's number on this line; counts up, survives a restart
    triggered  seconds on the monotonic clock when the sensor saw the part
    deadline   seconds on the same clock after which the ejector has passed it
    source     where the picture came from, for people: a file's name, a camera's address
    encoded    the picture's compressed bytes where the camera delivered it so, else None
    fields     what the camera knows of the part, by field of its inspection: `lot` and `recipe`
               go before what the settings say under `product`; others are kept under their name
    """

    pixels: NDArray[np.uint8]
    part: int
    triggered: float
    deadline: float
    source: str = ""
    encoded: bytes | None = None
    fields: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the head and the gate make of one frame.

    decision    pass, reject, escalate or review
    score       0 (surely good) – 1 (surely defective)
    symbols     rounded bottleneck features, int8 (channels, height, width)
    defect_map  probabilities, float32 (height/8, width/8) of the input, or of all tiles together
    novelty     distance from what the network was shown; above 1 the gate's word does not count
    tile        whose symbols these are; None where the picture is judged whole
    """

    decision: Decision
    score: float
    symbols: NDArray[np.int8]
    defect_map: NDArray[np.float32]
    novelty: float = 0.0
    tile: TileShares | None = None
