"""What is known of a round when it is over: for the journal and for people."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["finished", "void"]


class TookPart(msgspec.Struct, frozen=True):
    """A device whose update is in the round's result.

    examples   pictures that it learned from; None where only the sum of all is known
    """

    device: str
    examples: int | None = None
    loss: float | None = None


class SetAside(msgspec.Struct, frozen=True):
    """A device that did not take part, or whose update was not used."""

    device: str
    reason: str


class RoundRecord(msgspec.Struct, frozen=True):
    """bytes_down, bytes_up   of the device that cost most, as Flower's own messages
    late                      devices whose update of an earlier round came now; not mixed in
    seconds                   of the coordinator's clock
    seen                      what the coordinator saw of a device
    epsilon                   of the run up to here; None where nothing bounds it
    summed_examples, summed_loss   where single ones are hidden
    """

    round: int
    outcome: Outcome
    took_part: list[TookPart]
    aside: list[SetAside]
    late: list[str]
    bytes_down: int
    bytes_up: int
    seconds: float
    reason: str = ""
    seen: str = ""
    epsilon: float | None = None
    summed_examples: int | None = None
    summed_loss: float | None = None

    @property
    def examples(self) -> int:
        """Pictures that all learned from."""
        if self.summed_examples is not None:
            return self.summed_examples
        return sum(one.examples or 0 for one in self.took_part)

    @property
    def loss(self) -> float:
        """The mean over pictures; NaN where nobody took part, or none is told."""
        if self.summed_loss is not None:
            return self.summed_loss
        weight = sum(one.examples or 0 for one in self.took_part)
        total = sum((one.loss or 0.0) * (one.examples or 0) for one in self.took_part)
        return total / weight if weight else float("nan")


class PossibleParticipant(msgspec.Struct, frozen=True):
    """Who would take part now: one row of `--dry-run`."""

    device: str
    takes_part: bool
    reason: str
    good: dict[str, int]
    defective: dict[str, int]
    held_out: int
