"""What device and coordinator of a federated round must agree on: what is learned, in which order
it travels, what an order to train says, and how an answer is refused.

Numbers travel as one flat vector of 16-bit floats. Down go the values of what is shared; up comes
the change against them, which keeps three digits however small it is. Nothing else of a network
travels: each device has the base network, known by its sha256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import WireError
from shared.topics import NAME

Sharing = Literal["shared", "local"]
Vector = NDArray[np.float64]

# Names within Flower's records.
ARRAYS = "arrays"
CONFIG = "config"
METRICS = "metrics"
VALUES = "values"
CHANGE = "change"
ORDER = "order"
ROUND = "server-round"
PROXIMAL = "proximal-mu"
EXAMPLES = "num-examples"
LOSS = "loss"
COUNTS = "counts"
DEVICE = "device"
LAYOUT = "layout"

# Codes of answers that refuse; Flower's own errors are below 1000.
NO_LABELS = 1001
ONE_CLASS = 1002
OTHER_BASE = 1003
OTHER_LAYOUT = 1004
FAILED = 1005
UNANSWERED = 1006
NO_LEARNER = 1011
NOT_NOW = 1012
GONE = 1013
REASONS = {
    NO_LABELS: "no labels",
    ONE_CLASS: "one class only",
    OTHER_BASE: "a model of another version",
    OTHER_LAYOUT: "layers of another shape",
    FAILED: "its training failed",
    UNANSWERED: "it can't answer",
    NO_LEARNER: "it has no learner",
    NOT_NOW: "it can't take part now",
    GONE: "it went away",
}

MOST_VALUES = 20_000_000
"""Of one vector: the whole of the largest backbone. Checked before anything is unpacked."""
LARGEST = float(np.finfo(np.float16).max)


class Refusal(msgspec.Struct, frozen=True):
    """Why a device does not do what it was asked; `code` is a key of REASONS."""

    code: int
    reason: str

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises WireError for what is no refusal."""
        try:
            return msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise WireError(f"a device's refusal can't be read ({error})") from error


class Scope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which layers a round trains, and which of them never leave a device.

    from_block      the first block of the head that learns; those before it are frozen, so that
                    their features can be kept for a round
    encoder         the bottleneck's encoder learns too, led by the frozen tail
    decoder         and its decoder
    normalisation   `local`: each device keeps its own (FedBN, Li et al. 2021)
    judgement       `local`: each device keeps its own map head (personalisation)
    """

    from_block: int = 7
    encoder: bool = True
    decoder: bool = False
    normalisation: Sharing = "shared"
    judgement: Sharing = "shared"

    def learned(self, names: Iterable[str]) -> list[str]:
        """Of a network's state, what changes during a round; in the order of `names`.

        Batch counters don't: nothing reads them.
        """
        return [
            name
            for name in names
            if self._learns(name) and not name.endswith("num_batches_tracked")
        ]

    def travelling(self, names: Iterable[str]) -> list[str]:
        """Of what is learned, what devices share."""
        known = list(names)
        norms = {name.removesuffix(_MEAN) for name in known if name.endswith(_MEAN)}
        return [
            name
            for name in self.learned(known)
            if not (self.judgement == "local" and name.startswith(_JUDGEMENT))
            and not (self.normalisation == "local" and name.rpartition(".")[0] in norms)
        ]

    def _learns(self, name: str) -> bool:
        if name.startswith(_BLOCKS):
            return int(name.removeprefix(_BLOCKS).partition(".")[0]) >= self.from_block
        if name.startswith(_ENCODER):
            return self.encoder
        if name.startswith(_DECODER):
            return self.decoder
        return name.startswith(_JUDGEMENT)


_MEAN = ".running_mean"
_BLOCKS = "head.blocks."
_JUDGEMENT = ("head.map_fine.", "head.map_coarse.", "head.map_head.")
_ENCODER = ("head.encoder.", "head.encoder_fine.")
_DECODER = "tail.decoder."
_STATISTICS = (_MEAN, ".running_var")


def is_statistic(name: str) -> bool:
    """Whether an entry is measured, not learned: it may be averaged, but no step may be taken."""
    return name.endswith(_STATISTICS)


class VectorLayout:
    """Named arrays ↔ one flat vector. Two sides with the same `sha256` mean the same numbers.

    Raises WireError for more values than any network of ours has.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        self.sizes = {name: int(np.prod(shape)) for name, shape in self.shapes.items()}
        self.size = sum(self.sizes.values())
        if self.size > MOST_VALUES:
            raise WireError(f"{self.size} values are more than a round may carry")
        text = ";".join(f"{name}{list(shape)}" for name, shape in self.shapes.items())
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.generic]], names: Iterable[str]) -> Self:
        return cls({name: tuple(arrays[name].shape) for name in names})

    def flat(self, arrays: Mapping[str, NDArray[np.generic]]) -> Vector:
        """One vector of all arrays. Raises WireError where one is missing or of another shape."""
        for name, shape in self.shapes.items():
            found = arrays[name].shape if name in arrays else None
            if found != shape:
                raise WireError(f"{name} has the shape {found}, not {shape}")
        parts = [np.asarray(arrays[name], np.float64).ravel() for name in self.shapes]
        return np.concatenate(parts) if parts else np.zeros(0)

    def named(self, vector: NDArray[np.floating]) -> dict[str, Vector]:
        """The arrays of a vector. Raises WireError where its length is another."""
        if vector.shape != (self.size,):
            raise WireError(f"{vector.shape} values came, {self.size} were wanted")
        arrays, start = {}, 0
        for name, shape in self.shapes.items():
            end = start + self.sizes[name]
            arrays[name] = np.asarray(vector[start:end], np.float64).reshape(shape)
            start = end
        return arrays


def narrow(vector: NDArray[np.floating]) -> NDArray[np.float16]:
    """As it travels. What is not finite stays so: hiding it is not the sender's to decide."""
    limited = np.where(np.isfinite(vector), np.clip(vector, -LARGEST, LARGEST), vector)
    return limited.astype(np.float16)


class TrainOrder(msgspec.Struct, frozen=True):
    """What a device is asked to do in a round; beside it travel `ROUND` and, from FedProx,
    `PROXIMAL`.

    run       names the run: what a device keeps between rounds belongs to it
    base      sha256 of the base network that the values belong to
    layout    `VectorLayout.sha256` of what travels
    scope     what is trained
    epochs    over the device's training parts
    batch     pictures a step
    rate      of the map head and the encoder; blocks learn at `block_share` of it
    versions  of each picture: as it is, and changed at random
    seed      of the run; a device's draws follow from it, its own name and the round
    """

    run: str
    base: str
    layout: str
    scope: Scope = Scope()
    epochs: int = 1
    batch: int = 8
    rate: float = 2e-3
    block_share: float = 0.2
    decay: float = 0.02
    versions: int = 4
    seed: int = 0

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: object) -> Self:
        """Raises WireError for what is no order."""
        if not isinstance(raw, bytes):
            raise WireError("a message of a round carries no order")
        try:
            return msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise WireError(f"an order of a round can't be read ({error})") from error


class LabelCounts(msgspec.Struct, frozen=True):
    """What a device says about its labels: numbers only, no part and no picture.

    device     its name
    base       sha256 of the base network that it has; empty: none
    good, defective   parts to train with, by domain
    held_out   parts kept from training, to judge by
    """

    device: str
    base: str
    good: dict[str, int]
    defective: dict[str, int]
    held_out: int

    @property
    def parts(self) -> int:
        return sum(self.good.values()) + sum(self.defective.values())

    def refusal(self) -> int | None:
        """Why it can't take part, a key of REASONS; None where it can."""
        if not self.parts:
            return NO_LABELS
        if not sum(self.good.values()) or not sum(self.defective.values()):
            return ONE_CLASS
        return None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: object) -> Self:
        """Raises WireError for what is no such counts."""
        if not isinstance(raw, bytes) or len(raw) > MOST_COUNTS_BYTES:
            raise WireError("a device's answer carries no counts")
        try:
            counts = msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise WireError(f"a device's counts can't be read ({error})") from error
        if not NAME.fullmatch(counts.device):
            raise WireError(f"a device's counts name it {counts.device[:64]!r}")
        numbers = [*counts.good.values(), *counts.defective.values(), counts.held_out]
        if not all(0 <= number <= MOST_PARTS for number in numbers):
            raise WireError("a device's counts are no counts")
        return counts


MOST_COUNTS_BYTES = 65_536
MOST_PARTS = 10_000_000


def node_of(device: str) -> int:
    """The number by which Flower knows a device, where the grid may choose it."""
    return int.from_bytes(hashlib.sha256(device.encode()).digest()[:8]) >> 1


def seed_of(order: TrainOrder, device: str, round_: int) -> int:
    """What a device draws from in one round, the same over every grid."""
    text = f"{order.seed}/{device}/{round_}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
