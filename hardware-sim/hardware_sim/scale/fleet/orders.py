"""What coordinator and workers tell each other, in files of one folder that are replaced whole."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

Stage = Literal["connecting", "ready", "inspecting", "draining", "done"]
M = TypeVar("M", bound=msgspec.Struct)
GO = "go.json"
RECORDING = "recording.npz"


class Orders(msgspec.Struct, frozen=True):
    """What one worker is to do; its first argument is the path of this.

    devices    the numbers of its devices, from and to (not included)
    seconds    how long parts come by, of which the first `warm_up_s` are not measured
    escalated  share of parts, 0–1
    """

    name: str
    bundle: str
    broker_port: int
    devices: tuple[int, int]
    every_s: float
    seconds: float
    warm_up_s: float
    escalated: float
    seed: int


class Go(msgspec.Struct, frozen=True):
    """The coordinator's word that parts come by from `at` on, seconds on the monotonic clock."""

    at: float


class WorkerProgress(msgspec.Struct, frozen=True):
    """How far a worker is."""

    stage: Stage = "connecting"
    connected: int = 0
    inspected: int = 0
    waiting: int = 0


class WorkerOutcome(msgspec.Struct, frozen=True):
    """What a worker's devices came to.

    inspected          parts by device
    actuated           verdicts that were carried out
    measured           parts that were due in the measured span, which took `bytes` on the wire
    round_trips_ms     of the escalations among them
    late_ms            what their turn was late by
    counts             the agents' own, by reason
    """

    inspected: dict[str, int]
    actuated: int
    measured: int
    bytes: int
    round_trips_ms: list[float]
    late_ms: list[float]
    reconnects: int
    counts: dict[str, int]


def write(path: Path, message: msgspec.Struct) -> None:
    """Replace the file in one step: a reader sees the old message or the new one."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(message))
    partial.replace(path)


def read(path: Path, kind: type[M]) -> M | None:
    """The message, or None where there is none yet."""
    return msgspec.json.decode(path.read_bytes(), type=kind) if path.exists() else None


def progress_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.progress.json"


def outcome_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.outcome.json"
