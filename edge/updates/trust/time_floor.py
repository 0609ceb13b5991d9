"""A time that never goes back."""

from __future__ import annotations

from pathlib import Path

from shared.storage.twin import FilePair, Twin


class LowestTime:
    """The UTC below which this device no longer believes its clock; survives a power cut.

    It goes up to what the clock showed, but no further than a signed timestamp reaches: a clock
    that once jumped to 2099 costs a device one timestamp's life, not its updates for ever.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._twin = Twin(FilePair(folder, "time"))
        copy = self._twin.read()
        self.utc = float(copy.fields["utc"]) if copy else 0.0

    def raise_to(self, utc: float) -> None:
        """Returns when the new time would survive a power cut. Never goes down."""
        utc = float(int(utc))
        if utc > self.utc:
            self._twin.write({"utc": f"{utc:.0f}"})
            self.utc = utc
