"""Where a training tells how it goes: one seam, and the log that keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Row = Mapping[str, float]


class ExperimentLog(Protocol):
    """Told of one training. Nothing that it does may end one: a store that is away is remarked."""

    def begin(self, facts: Mapping[str, Any], *, resumed: bool) -> None:
        """The training begins, or goes on after a kill.

        facts   what a run's record.json holds from the start: options, data, code
        """

    def learned(self, curves: Sequence[Row]) -> None:
        """An epoch is over; every epoch's row so far, in order, by its `epoch`."""

    def end(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        """There is a bundle.

        record   the whole record.json
        files    what is to be kept beside it; never pictures
        """

    def fail(self, *, stopped: bool) -> None:
        """The training has ended without a bundle; stopped: by whoever started it."""


class UnkeptLog:
    """For trainings of which nobody keeps more than their record.json."""

    def begin(self, facts: Mapping[str, Any], *, resumed: bool) -> None:
        pass

    def learned(self, curves: Sequence[Row]) -> None:
        pass

    def end(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        pass

    def fail(self, *, stopped: bool) -> None:
        pass
