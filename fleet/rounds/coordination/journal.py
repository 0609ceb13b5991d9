"""What a coordinator must not forget: after each round everything that the next one needs.

One file, replaced in one step, so that SIGKILL or a power cut leaves the last finished round or
the one before it, never half of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet.rounds.report.findings import RoundRecord
from shared.errors import FederationError
from shared.federation.protocol import Vector
from shared.storage.arrays import read_arrays
from shared.storage.files import replacing

NAME = "journal.npz"
_VALUES, _HEADER, _MEMORY = "values", "header", "memory:"


class Terms(msgspec.Struct, frozen=True):
    """What a run is bound to: with other terms it can't be gone on with.

    settings   a fingerprint of everything that changes the arithmetic
    """

    run: str
    strategy: str
    rounds: int
    seed: int
    base: str
    layout: str
    settings: str


@dataclass(slots=True)
class RunProgress:
    """A run after its last finished round.

    values   what is shared, in 64 bits
    memory   what the strategy carries on, by name
    """

    terms: Terms
    values: Vector
    memory: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    history: list[RoundRecord] = field(default_factory=list)

    @property
    def round(self) -> int:
        return self.history[-1].round if self.history else 0


class _Header(msgspec.Struct):
    terms: Terms
    history: list[RoundRecord]


class RunJournal:
    """In a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME

    def read(self) -> RunProgress | None:
        """None where no round has finished. Raises FederationError for a file that is broken."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            # Our own, uncompressed: it claims no more than it has.
            archive = read_arrays(raw, len(raw))
            header = msgspec.json.decode(archive[_HEADER].tobytes(), type=_Header)
            memory = {
                name.removeprefix(_MEMORY): array
                for name, array in archive.items()
                if name.startswith(_MEMORY)
            }
            values = archive[_VALUES]
        except _UNREADABLE as error:
            raise FederationError(
                f"{self._path} can't be read ({error})", fix="give the run another folder"
            ) from error
        return RunProgress(header.terms, values, memory, header.history)

    def keep(self, progress: RunProgress) -> None:
        """Returns when it is on disk. Raises FederationError where it can't be."""
        header = msgspec.json.encode(_Header(progress.terms, progress.history))
        arrays: dict[str, NDArray[np.generic]] = {
            _VALUES: progress.values,
            _HEADER: np.frombuffer(header, np.uint8),
            **{_MEMORY + name: array for name, array in progress.memory.items()},
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as partial, partial.open("wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise FederationError(
                f"the run's journal can't be written ({error.strerror})",
                fix="free some space, then start it again: it goes on after its last round",
            ) from error


_UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    msgspec.MsgspecError,
)
