"""Where an update stands, on the disk: what a killed process reads to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edge.updates.base import Label, Patch, Phase, Stuff, VersionedRecord
from edge.updates.disk import DurableFiles, replace
from shared.log import get_logger
from shared.storage.slots import Slot, SlotRecord

log = get_logger("updates")


class UpdateState(msgspec.Struct, frozen=True):
    """Which slot is live is not here: only the slot record says so.

    label     what is being updated to, from `fetching` on
    slot      where it goes
    what      is being fetched: the payload, or the patch that makes it
    have      bytes of it that are on the disk
    again     how often a payload came that was not what was signed
    starts    processes that began to try it out, up to the switch
    sequence  of the record when the switch began: a higher one shows that it was tried
    reason    why it returns; empty: nobody wants it any more
    failed    target → why it was given up, the last one
    barred    the target that is not tried again before another one was wanted
    floors    name of a release → the counter of the last one that stayed
    """

    phase: Phase = "idle"
    label: Label | None = None
    url: str = ""
    patch: Patch | None = None
    slot: Slot = "b"
    what: Stuff = "payload"
    have: int = 0
    again: int = 0
    starts: int = 0
    sequence: int = 0
    reason: str = ""
    failed: dict[str, str] = {}
    barred: str | None = None
    floors: dict[str, int] = {}

    def ended(self, failed: dict[str, str], barred: str | None = None) -> UpdateState:
        """Nothing under way any more."""
        return UpdateState(failed=failed, barred=barred, floors=self.floors)

    def committed(self, label: Label) -> UpdateState:
        """The release stays."""
        return UpdateState(floors=self.floors | {label.name: label.counter})


class Memo:
    """One state, replaced as a whole."""

    def __init__(self, disk: DurableFiles, path: Path) -> None:
        self._disk = disk
        self._path = path

    def read(self) -> UpdateState:
        """What was kept last; the idle state where nothing was, or what lies there is damaged."""
        try:
            return msgspec.json.decode(self._disk.read(self._path), type=UpdateState)
        except FileNotFoundError:
            return UpdateState()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("update_memo_damaged", path=self._path.name, error=str(error))
            return UpdateState()

    def keep(self, state: UpdateState) -> None:
        """Returns when it would survive a power cut."""
        replace(self._disk, self._path, msgspec.json.encode(state))


NO_START_LEFT = "it stopped again and again before it had run well for long enough"
FORGOTTEN = "it was on trial, and what was known of it is lost"


def resumed(
    state: UpdateState, marked: VersionedRecord, running: Slot, held: Label | None
) -> UpdateState:
    """Where to go on after a start: the slot record knows more than the memo.

    held  what the slot on trial holds
    """
    record, sequence = marked
    if state.phase in {"switching", "trial", "committing"}:
        return msgspec.structs.replace(state, **_after_switch(state, record, sequence, running))
    if record.trial is not None and state.phase != "returning":
        fresh = state.ended(state.failed)
        return msgspec.structs.replace(
            fresh, phase="returning", label=held, slot=record.trial, reason=FORGOTTEN
        )
    return state


def _after_switch(
    state: UpdateState, record: SlotRecord, sequence: int, running: Slot
) -> dict[str, Any]:
    if record.live == state.slot:
        return {"phase": "committing"}
    if record.trial == state.slot:
        phase = "trial" if state.phase == "switching" else state.phase
        return {"phase": phase if running == state.slot else "switching"}
    if state.phase == "switching" and sequence == state.sequence:
        return {"phase": "waiting"}
    return {"phase": "returning", "reason": NO_START_LEFT}
