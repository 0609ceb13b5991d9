"""From a target's name to a payload in the slot that is not in use: offered, fetched, checked."""

from __future__ import annotations

import msgspec

from edge.updates.base import Label, Offer, Offers, PayloadSource, Slots, Stuff, Unreachable
from edge.updates.progress import UpdateState
from shared.errors import ReleaseError, UpdateError
from shared.log import get_logger
from shared.storage.slots import other

log = get_logger("updates")

CHUNK = 1 << 20
REFETCHES = 1


class ReleaseIntake:
    """Takes a state on by one step. What it raises is the machine's to deal with."""

    def __init__(self, slots: Slots, offers: Offers, source: PayloadSource, reserve: int) -> None:
        """reserve: bytes that must stay free on the disk"""
        self._slots = slots
        self._offers = offers
        self._source = source
        self._reserve = reserve

    def begin(self, state: UpdateState, target: str, live: Label | None) -> UpdateState:
        """`fetching`, or `checking` where the payload is there already.

        Raises UpdateError where this device must not take it or has no room, and what
        `Offers.offer` raises.
        """
        offer = self._offers.offer(target, live.sha256 if live else "")
        require_counter(state, offer.label, live)
        slot = other(self._slots.marked().record.live)
        begun = msgspec.structs.replace(
            state,
            label=offer.label,
            url=offer.url,
            patch=None,
            slot=slot,
            what="payload",
            have=0,
            again=0,
            starts=0,
        )
        if self._slots.held(slot) == offer.label:
            return msgspec.structs.replace(begun, phase="checking")
        self._slots.discard(slot)
        patch = offer.patch if self._lacks(offer, patched=True) == 0 else None
        lacking = self._lacks(offer, patched=patch is not None)
        if lacking:
            raise UpdateError(
                f"{target} needs {offer.label.length} B, and the disk has {lacking} B too few "
                "to give",
                fix="free disk space, or make the journal smaller",
            )
        what: Stuff = "delta" if patch else "payload"
        return msgspec.structs.replace(begun, phase="fetching", patch=patch, what=what)

    def fetch(self, state: UpdateState) -> UpdateState:
        """One range more, on the disk when this returns."""
        label = label_in(state)
        url, length = state.url, label.length
        if state.what == "delta" and state.patch is not None:
            url, length = state.patch.url, state.patch.length
        have = min(state.have, self._slots.kept(state.slot, state.what))
        if have < length:
            data = self._source.read(url, have, min(CHUNK, length - have))
            if not data:
                raise Unreachable(f"{url} gave nothing", fix="it is tried again later")
            self._slots.write(state.slot, state.what, have, data)
            have += len(data)
        phase = state.phase if have < length else "checking"
        return msgspec.structs.replace(state, have=have, phase=phase)

    def check(self, state: UpdateState) -> UpdateState:
        """Named, or to be fetched again: whole after a patch, and once more after a payload."""
        label, patch, slot = label_in(state), state.patch, state.slot
        if state.what == "delta" and patch is not None:
            if self._slots.digest(slot, "delta", patch.length) != patch.sha256:
                return self._whole(state, "the patch is not what was signed")
            try:
                self._slots.patch(slot, label.length)
            except UpdateError as error:
                return self._whole(state, error.message)
        if self._slots.digest(slot, "payload", label.length) != label.sha256:
            if state.what == "delta":
                return self._whole(state, "the patch makes something else")
            if state.again >= REFETCHES:
                raise UpdateError("what was fetched is not what was signed", fix="publish it again")
            self._slots.discard(slot)
            again = state.again + 1
            return msgspec.structs.replace(state, phase="fetching", have=0, again=again)
        self._slots.name(slot, label)
        return msgspec.structs.replace(state, phase="proving", patch=None)

    def _whole(self, state: UpdateState, reason: str) -> UpdateState:
        log.warning("patch_useless", target=label_in(state).path, error=reason)
        self._slots.discard(state.slot)
        return msgspec.structs.replace(state, phase="fetching", what="payload", patch=None, have=0)

    def _lacks(self, offer: Offer, *, patched: bool) -> int:
        patch = offer.patch.length if patched and offer.patch else 0
        return self._slots.lacks(offer.label.length, patch, self._reserve)


def require_counter(state: UpdateState, label: Label, live: Label | None) -> None:
    """Raises UpdateError for a release that is not above what ran here under its name."""
    floor = state.floors.get(label.name, 0)
    if live and live.name == label.name:
        floor = max(floor, live.counter)
    if label.counter <= floor:
        raise UpdateError(
            f"its counter {label.counter} is not above {floor}, which ran",
            fix="release it again under a new version",
        )


def label_in(state: UpdateState) -> Label:
    """What is being updated to. Raises ReleaseError in a state that has no target."""
    if state.label is None:
        raise ReleaseError("an update without a target", fix="it is begun again")
    return state.label
