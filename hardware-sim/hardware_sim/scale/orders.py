"""What a trial and its workers tell each other, in files of one folder that are replaced whole."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

M = TypeVar("M", bound=msgspec.Struct)
SIGNAL = "signal.json"
RECORDING = "recording.npz"


class WorkerOrders(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker is to do; its first argument is the path of this.

    bundle     path of the one that its devices run at first
    devices    their numbers, from and to (not included)
    every_s    from one part of a device to its next
    escalated  share of parts, 0–1
    """

    name: str
    bundle: str
    broker_port: int
    devices: tuple[int, int]
    every_s: float
    escalated: float
    seed: int


class TrialSignal(msgspec.Struct, frozen=True):
    """The trial's word that what its workers wait for begins at this second of the monotonic
    clock.
    """

    at: float


class WorkerProgress(msgspec.Struct, frozen=True):
    """How far a worker is; inspected: parts."""

    stage: str = "connecting"
    connected: int = 0
    inspected: int = 0


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
