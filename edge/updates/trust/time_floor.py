"""A time that never goes back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shared.storage.twin import FilePair, Twin

LONGEST_LIFE_S = 7 * 86400.0
"""No timestamp is signed for longer: it is one day, and a week leaves room."""


class SignedTime(NamedTuple):
    """A timestamp that the repository's keys have signed; expires: UTC seconds."""

    version: int
    expires: float


def taken_back(kept: SignedTime | None, found: SignedTime | None) -> float | None:
    """The UTC that is certain, where the repository itself has taken back a later one.

    kept    the newest timestamp that was believed; found: one that was just fetched
    Timestamps are signed one after the other, for a life of LONGEST_LIFE_S at most. So one of a
    higher version that ends long before an earlier one shows that the earlier one was signed by a
    clock that was ahead, and that it is not yet the time that the earlier one spoke for. What is
    sure then is when the later one was signed, at the earliest. Whoever has no key can only show
    what was signed: without a clock that was ahead there is no such pair, and with one he gains
    what the fleet had published after it, never an older state: versions go on going up.
    """
    if kept is None or found is None or found.version <= kept.version:
        return None
    if found.expires > kept.expires - LONGEST_LIFE_S:
        return None
    return found.expires - LONGEST_LIFE_S


class LowestTime:
    """The UTC below which this device no longer believes its clock; survives a power cut.

    It goes up to what the clock showed, but no further than a signed timestamp reaches: a clock
    that once jumped to 2099 costs a device one timestamp's life, not its updates for ever. Where
    the one who signs was in 2099 too, `taken_back` says from when on that is known to be wrong.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._twin = Twin(FilePair(folder, "time"))
        copy = self._twin.read()
        self.utc = float(copy.fields["utc"]) if copy else 0.0

    def lower_to(self, utc: float) -> None:
        """Returns when the new time would survive a power cut. Never goes up."""
        utc = float(int(utc))
        if utc < self.utc:
            self._twin.write({"utc": f"{utc:.0f}"})
            self.utc = utc

    def raise_to(self, utc: float) -> None:
        """Returns when the new time would survive a power cut. Never goes down."""
        utc = float(int(utc))
        if utc > self.utc:
            self._twin.write({"utc": f"{utc:.0f}"})
            self.utc = utc
