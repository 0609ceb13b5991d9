"""Two slots, of which one is live: what boots, what is on trial, and when to go back.

The same rules hold for a model, an application and a disk image: `SlotRecord` is what a twin
record (`shared.storage.twin`) holds, and `booted` is what a boot script or a starting agent does
with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from shared.errors import UpdateError

Slot = Literal["a", "b"]
SLOTS: tuple[Slot, ...] = get_args(Slot)


def other(slot: Slot) -> Slot:
    return "b" if slot == "a" else "a"


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """Which slot is live.

    live    the slot that is known to be good
    trial   the slot that is being tried; None where none is
    tries   starts that the trial still has; each start takes one before it starts
    """

    live: Slot = "a"
    trial: Slot | None = None
    tries: int = 0

    def booted(self) -> tuple[Slot, SlotRecord]:
        """What to start now, and the record to write before starting it.

        A trial that has no try left has failed: the live slot starts, and the trial is over.
        """
        if self.trial is None:
            return self.live, self
        if self.tries > 0:
            return self.trial, replace(self, tries=self.tries - 1)
        return self.live, SlotRecord(self.live)

    def tried(self, slot: Slot, tries: int) -> SlotRecord:
        """The record that puts `slot` on trial. Raises UpdateError for the live slot."""
        if slot == self.live or tries < 1:
            raise UpdateError(f"slot {slot} is live and can't be tried", fix="use the other slot")
        return SlotRecord(self.live, slot, tries)

    def committed(self) -> SlotRecord:
        """The trial has shown itself to be good."""
        return SlotRecord(self.trial or self.live)

    def returned(self) -> SlotRecord:
        """Back to the live slot."""
        return SlotRecord(self.live)

    def to_fields(self) -> dict[str, str]:
        return {"live": self.live, "trial": self.trial or "none", "tries": str(self.tries)}

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> SlotRecord:
        """Raises UpdateError for fields that name no slot."""
        live, trial, tries = (fields.get(name, "") for name in ("live", "trial", "tries"))
        slots: dict[str, Slot] = {slot: slot for slot in SLOTS}
        if live not in slots or trial not in {*slots, "none"} or not tries.isdigit():
            raise UpdateError(f"a slot record says {dict(fields)}", fix="flash the card again")
        return cls(slots[live], slots.get(trial), int(tries))
