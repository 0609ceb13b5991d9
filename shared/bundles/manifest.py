"""What a bundle says of itself: the model's shape, gate, training and files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
)

from shared.bundles.leakage import Leakage
from shared.certification.promises import SHA256, Certificate, GateSpec
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
from shared.settings import Settings
from shared.wire import MAX_BODY

MANIFEST = "manifest.json"
HEAD = "head.onnx"
HEAD_FLOAT = "head_float.onnx"
TAIL = "tail.onnx"
CODEC = "codec.json"
GOLDEN = "golden.npz"
TRAINED = "trained.bin"
TUNED = "tuned.bin"
LITERT_HEAD = "head.tflite"
REQUIRED = (HEAD, HEAD_FLOAT, TAIL, CODEC, GOLDEN)
PAIR = (HEAD, TAIL, CODEC)
MAX_FILE = 1 << 30
LEAST_CAP = 64
MAP_STRIDE = 8
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
FILE = r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}$"
VERSION = r"^[0-9]+(\.[0-9]+){0,2}$"
DATA_VERSION = "data_version"


class InputSpec(Settings):
    """The head's input: uint8 (n, channels, height, width), 0–255; grey, or BGR."""

    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    channels: Literal[1, 3]
    # What is not set is not written, so that agents before these settings read it too; one that
    # would do something else to its pictures refuses it.
    pixels: PixelSettings = Field(AS_IT_IS, exclude_if=lambda pixels: pixels == AS_IT_IS)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width


def default_cap(spec: dict[str, Any]) -> int:
    """Bytes that an escalation's features may take: 4096 at 14 × 14 places, in proportion."""
    places = spec["height"] * spec["width"]
    return int(min(max(LEAST_CAP, 4096 * places // (14 * 14)), MAX_BODY))


class FeatureSpec(Settings):
    """The bottleneck: symbols int8 (channels, height, width)."""

    channels: int = Field(gt=0, le=1024)
    height: int = Field(gt=0, le=1024)
    width: int = Field(gt=0, le=1024)
    cap_bytes: int = Field(
        default_factory=default_cap,
        ge=LEAST_CAP,
        le=MAX_BODY,
        description="encoded features are sent coarser until they fit; 4096 at 14 × 14 places, "
        "in proportion, where a bundle says nothing",
    )

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width


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
    tail_weights: int = Field(
        default=4, ge=1, description="among how many tail weights the pictures in tuned.bin chose"
    )

    @property
    def data_version(self) -> str:
        """The version of the data that it was trained on, with `-changed` behind it where that
        was not quite what was trained on; empty: none was recorded.

        Among the options, which are any names, so that earlier releases read the bundle, too.
        """
        return str(self.options.get(DATA_VERSION, ""))


class FileEntry(Settings):
    """A file of the bundle."""

    sha256: str = Field(pattern=SHA256)
    bytes: int = Field(ge=0, le=MAX_FILE)


class TargetHead(Settings):
    """The head as one accelerator runs it; see `shared.targets`.

    source        sha256 of the head.onnx that it was made of
    file          what the device runs
    top, shift    what `shared.targets.host_judgement` takes
    alike         of the parts that it was compared on, the share whose decision is the shipped
                  head's
    milliseconds  an inference, and sram_kib: memory beside it, as the compiler estimates them
    """

    source: str = Field(pattern=SHA256)
    file: str = Field(pattern=FILE)
    tool: str
    top: int = Field(ge=1)
    shift: float
    alike: float = Field(ge=0, le=1)
    parts: int = Field(ge=1)
    milliseconds: float | None = Field(default=None, ge=0)
    sram_kib: float | None = Field(default=None, ge=0)


class Manifest(Settings):
    """What a bundle is and promises.

    format  2 where the gate leaves parts to a person: an agent that knows two verdicts refuses it
    """

    format: Literal[1, 2] = 1
    name: str = Field(pattern=NAME)
    version: str = Field(pattern=VERSION)
    created: str
    architecture: dict[str, int | str]
    split_point: str
    input: InputSpec
    features: FeatureSpec
    classes: list[str]
    gate: GateSpec
    tolerance: Tolerance = Tolerance()  # type: ignore[call-arg]
    training: TrainingRecord
    files: dict[Annotated[str, Field(pattern=FILE)], FileEntry] = Field(
        max_length=64, description="by their names, which lead into no other folder"
    )
    certificate: Certificate | None = None
    leakage: Leakage | None = None
    # Where there are none, an agent from before them reads the bundle, too.
    targets: dict[Annotated[str, Field(pattern=NAME)], TargetHead] = Field(
        default_factory=dict,
        exclude_if=lambda targets: not targets,
        max_length=32,
        description="heads for accelerators, by target",
    )

    @property
    def pair(self) -> str:
        """The id of the head and tail that belong together, 16 hex digits."""
        return _pair_of(self.files)

    @field_validator("certificate")
    @classmethod
    def _still_holding(
        cls, certificate: Certificate | None, info: ValidationInfo
    ) -> Certificate | None:
        """Another head's or gate's certificate is none, so that nobody can take it for one."""
        known = info.data
        if certificate is None or not {"features", "gate", "files"} <= known.keys():
            return None
        files, cap_bytes = known["files"], known["features"].cap_bytes
        if any(name not in files for name in PAIR):
            return None
        return certificate.holding(files[HEAD].sha256, _pair_of(files), cap_bytes, known["gate"])

    @field_validator("leakage")
    @classmethod
    def _of_this_pair(cls, leakage: Leakage | None, info: ValidationInfo) -> Leakage | None:
        """Another pair's features give away something else."""
        files = info.data.get("files", {})
        if leakage is None or any(name not in files for name in PAIR):
            return None
        return leakage if leakage.pair == _pair_of(files) else None

    @field_validator("targets")
    @classmethod
    def _of_this_head(
        cls, targets: dict[str, TargetHead], info: ValidationInfo
    ) -> dict[str, TargetHead]:
        """What was made of another head judges otherwise."""
        files = info.data.get("files", {})
        if HEAD not in files:
            return {}
        return {
            name: made
            for name, made in targets.items()
            if made.source == files[HEAD].sha256 and made.file in files
        }


def _pair_of(files: Mapping[str, FileEntry]) -> str:
    return pair_of({name: files[name].sha256 for name in PAIR})


def pair_of(hashes: Mapping[str, str]) -> str:
    """The id of a head, tail and codec with these sha256, 16 hex digits."""
    joined = "".join(hashes[name] for name in PAIR)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
