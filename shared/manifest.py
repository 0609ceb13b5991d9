"""What a bundle says of itself: the model's shape, gate, training and files."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from shared.gate import Gate
from shared.settings import Settings

MANIFEST = "manifest.json"
HEAD = "head.onnx"
HEAD_FLOAT = "head_float.onnx"
TAIL = "tail.onnx"
CODEC = "codec.json"
GOLDEN = "golden.npz"
REQUIRED = (HEAD, HEAD_FLOAT, TAIL, CODEC, GOLDEN)
MAX_FILE = 1 << 30
MAP_STRIDE = 8
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
VERSION = r"^[0-9]+(\.[0-9]+){0,2}$"


class InputSpec(Settings):
    """The head's input: uint8 (n, channels, height, width), 0–255; grey, or BGR."""

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    channels: Literal[1, 3]

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width


class FeatureSpec(Settings):
    """The bottleneck: symbols int8 (channels, height, width)."""

    channels: int = Field(gt=0, le=1024)
    height: int = Field(gt=0, le=1024)
    width: int = Field(gt=0, le=1024)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width


class GateSpec(Settings):
    """The gate's thresholds; see `shared.gate.Gate`."""

    pass_below: float
    reject_from: float
    cloud_reject_from: float
    tail_weight: float = Field(1.0, ge=0, le=1, description="of the tail's score in the cloud's")

    @property
    def gate(self) -> Gate:
        return Gate(self.pass_below, self.reject_from, self.cloud_reject_from, self.tail_weight)


class Tolerance(Settings):
    """How far a backend may differ from the golden outputs.

    score     largest difference of a score, 0–1
    int8      largest difference of the int8 head's score from the float head's, 0–1
    symbols   share of symbols that may differ by more than one step, 0–1
    """

    score: float = Field(0.05, gt=0, lt=1)
    int8: float = Field(0.2, gt=0, lt=1)
    symbols: float = Field(0.01, ge=0, lt=1)


class TrainingRecord(Settings):
    """Where the model comes from."""

    data: str
    data_hash: str
    data_licence: str
    weights: str = Field(description="origin of the initial weights")
    seed: int
    epochs: int
    options: dict[str, object] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class FileEntry(Settings):
    """A file of the bundle."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=0, le=MAX_FILE)


class Manifest(Settings):
    """What a bundle is and promises."""

    format: Literal[1] = 1
    name: str = Field(pattern=NAME)
    version: str = Field(pattern=VERSION)
    created: str
    architecture: dict[str, int]
    split_point: str
    input: InputSpec
    features: FeatureSpec
    classes: list[str]
    gate: GateSpec
    tolerance: Tolerance = Tolerance()  # type: ignore[call-arg]
    training: TrainingRecord
    files: dict[str, FileEntry]

    @property
    def pair(self) -> str:
        """The id of the head and tail that belong together, 16 hex digits."""
        names = (HEAD, TAIL, CODEC)
        joined = "".join(self.files[name].sha256 for name in names)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]
