"""What a device keeps to itself between rounds: its own normalisation, its own map head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import FederationError
from shared.storage.arrays import read_arrays
from shared.storage.files import replacing

_NAME = re.compile(r"round-(\d{6})\.npz")
_RUN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
KEPT_ROUNDS = 2


class LocalState:
    """Arrays by run and round. A round that is begun again starts from what was before it, so
    two rounds are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def before(self, run: str, round_: int) -> dict[str, NDArray[np.float32]]:
        """The newest of an earlier round of this run; empty where there is none."""
        earlier = [number for number in self._rounds(run) if number < round_]
        if not earlier:
            return {}
        path = self._path(run, max(earlier))
        try:
            raw = path.read_bytes()
            return read_arrays(raw, len(raw))
        except (OSError, ValueError) as error:
            raise FederationError(
                f"{path} can't be read ({error})", fix="remove it: the round starts without it"
            ) from error

    def keep(self, run: str, round_: int, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        path = self._path(run, round_)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        rounds = self._rounds(run)
        # Later ones are of a run that was begun again from its start.
        kept = [number for number in rounds if number <= round_][-KEPT_ROUNDS:]
        for number in set(rounds) - set(kept):
            self._path(run, number).unlink(missing_ok=True)

    def _rounds(self, run: str) -> list[int]:
        found = (_NAME.fullmatch(path.name) for path in self._of(run).glob("round-*.npz"))
        return sorted(int(match[1]) for match in found if match)

    def _path(self, run: str, round_: int) -> Path:
        return self._of(run) / f"round-{round_:06}.npz"

    def _of(self, run: str) -> Path:
        # The run's name comes over the network and must not lead out of the folder.
        if not _RUN.fullmatch(run) or set(run) == {"."}:
            raise FederationError(f"{run!r} can't be the name of a run")
        return self._folder / run
