"""One update after another for one kind: from what is wanted to what runs, or back.

    idle → fetching → checking → proving → shadowing → waiting → switching → trial → committing
    switching | trial → returning, where what is new is not well;  committing | returning → idle

Before the switch, whatever goes wrong ends in `idle` with the live slot untouched. From the switch
on only the slot record says what runs, so a kill anywhere leaves the old or the new. `step` does
a little and can be called at any time; what the network fails is tried again later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge.updates.base import (
    Host,
    Label,
    Offers,
    Opinion,
    PayloadSource,
    Phase,
    Slots,
    Unreachable,
    UpdateProgress,
    Vitals,
    Wanted,
)
from edge.updates.intake import ReleaseIntake, label_in
from edge.updates.progress import Memo, UpdateState, resumed
from shared.clock import Clock
from shared.errors import SplitsightError, UpdateError
from shared.log import get_logger
from shared.storage.slots import SlotRecord, other

log = get_logger("updates")

SOON_S = 0.0
POLL_S = 1.0
LATER_S = 3600.0
BACKOFF_S = (2.0, 300.0)
MOST_STARTS = 3
DAY_MINUTES = 24 * 60
# A line that stands still says nothing about what is on trial, but it must end some time.
PATIENCE = 10
RESERVE = 16 << 20
BEFORE_SWITCH: tuple[Phase, ...] = ("fetching", "checking", "proving", "shadowing", "waiting")


class UpdateMachine:
    """Steps one kind. For one thread; `want` and `progress` may be called from others."""

    def __init__(
        self,
        kind: str,
        *,
        slots: Slots,
        host: Host,
        offers: Offers,
        source: PayloadSource,
        memo: Memo,
        clock: Clock,
        reserve: int = RESERVE,
    ) -> None:
        """kind: for the log; reserve: bytes that must stay free on the disk."""
        self._kind = kind
        self._slots = slots
        self._host = host
        self._intake = ReleaseIntake(slots, offers, source, reserve)
        self._memo = memo
        self._clock = clock
        kept = memo.read()
        marked = slots.marked()
        trial = marked.record.trial
        self._live = slots.held(marked.record.live)
        self._state = resumed(kept, marked, host.running(), slots.held(trial) if trial else None)
        self._wanted: Wanted | None = None
        self._problem = ""
        self._failures = 0
        self._not_before = float("-inf")
        self._shadowing = self._trying = False
        self._trial_since: float | None = None
        self.figures: Mapping[str, float] = {}
        self._steps: dict[Phase, Callable[[], float]] = {
            "idle": self._idle,
            "fetching": self._fetching,
            "checking": self._checking,
            "proving": self._proving,
            "shadowing": self._shadow,
            "waiting": self._waiting,
            "switching": self._switching,
            "trial": self._trial,
            "committing": self._committing,
            "returning": self._returning,
        }
        if kept.phase != "idle":
            log.info("update_resumed", kind=kind, was=kept.phase, phase=self._state.phase)

    def want(self, wanted: Wanted) -> None:
        """What to run from here on. Taken up with the next step."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._not_before = float("-inf")

    @property
    def progress(self) -> UpdateProgress:
        state, live = self._state, self._live
        return UpdateProgress(
            phase=state.phase,
            target=state.label.path if state.label else "",
            running=live.path if live else "",
            counter=live.counter if live else 0,
            version=live.version if live else "",
            failed=state.failed,
            problem=self._problem,
        )

    def step(self) -> float:
        """Go on a little. Returns seconds in which another step would change nothing."""
        left = self._not_before - self._clock.monotonic()
        if left > 0:
            return left
        try:
            wait = self._steps[self._state.phase]() if self._may_go_on() else POLL_S
        except Unreachable as error:
            wait = self._try_later(error)
        except Exception as error:
            # A stranger's model, disk or supervisor may raise anything; the machine must go on.
            if not isinstance(error, SplitsightError):
                log.exception("update_step_failed", kind=self._kind, phase=self._state.phase)
            wait = self._failed(error)
        else:
            self._failures = 0
        self._not_before = self._clock.monotonic() + wait
        return wait

    def _may_go_on(self) -> bool:
        """Whether somebody still wants what is under way, and it may change now."""
        wanted, state = self._wanted, self._state
        if state.phase not in BEFORE_SWITCH and state.phase != "idle":
            # From the switch on it ends, one way or the other: a box between two is worse.
            return True
        if wanted is None:
            return False
        self._problem = f"held: {wanted.held}" if wanted.held else ""
        if wanted.held:
            return False
        if state.phase != "idle" and (state.label is None or wanted.target != state.label.path):
            self._drop()
        return True

    def _idle(self) -> float:
        wanted, state = self._want, self._state
        if state.barred is not None and state.barred != wanted.target:
            self._keep(barred=None)
        record, live = self._slots.marked().record, self._live
        running = live.path if live else ""
        if wanted.target in {running, state.barred}:
            return LATER_S
        if wanted.back and self._back(wanted.target, record, live):
            return SOON_S
        if not wanted.target:
            return LATER_S
        self._become(self._intake.begin(self._state, wanted.target, live))
        return SOON_S

    def _back(self, target: str, record: SlotRecord, live: Label | None) -> bool:
        """Whether the other slot still holds what ran before: it did well, and runs at once."""
        slot = other(record.live)
        before = self._slots.held(slot) or Label("", 0, "", 0)
        if before.path != target or before == live:
            return False
        sequence = self._slots.marked().sequence
        self._keep(phase="switching", label=before, slot=slot, sequence=sequence)
        return True

    def _fetching(self) -> float:
        self._become(self._intake.fetch(self._state))
        return SOON_S

    def _checking(self) -> float:
        self._become(self._intake.check(self._state))
        return SOON_S

    def _proving(self) -> float:
        self._take_a_start()
        self._host.prove(self._state.slot, self._label)
        self._keep(phase="shadowing" if self._want.shadow_parts else "waiting")
        return SOON_S

    def _take_a_start(self) -> None:
        """A model can end the process that tries it out; it may not do so for ever."""
        if self._trying:
            return
        if self._state.starts >= MOST_STARTS:
            raise UpdateError("it stopped the agent that tried it out", fix="build another release")
        self._keep(starts=self._state.starts + 1)
        self._trying = True

    def _shadow(self) -> float:
        self._take_a_start()
        if not self._shadowing:
            self._host.shadow(self._state.slot, self._want.shadow_parts)
            self._shadowing = True
        opinion: Opinion = self._host.shadowed()
        self.figures = opinion.figures
        if opinion.against:
            raise UpdateError(opinion.against, fix="see what the shadow run measured")
        if not opinion.done:
            return POLL_S
        self._shadowing = False
        self._keep(phase="waiting")
        return SOON_S

    def _waiting(self) -> float:
        minute = int(self._clock.utc() // 60) % DAY_MINUTES
        if not is_within(minute, self._want.window):
            return POLL_S
        self._keep(phase="switching", sequence=self._slots.marked().sequence)
        return SOON_S

    def _switching(self) -> float:
        slot = self._state.slot
        record, _ = self._slots.marked()
        if record.trial != slot:
            self._slots.mark(record.tried(slot, self._host.tries))
        self._host.switch(slot)
        if self._host.running() != slot:
            # A restart was asked for; the process that it brings goes on from here.
            return POLL_S
        self._keep(phase="trial")
        return SOON_S

    def _trial(self) -> float:
        wanted, now = self._wanted or Wanted(target=self._label.path), self._clock.monotonic()
        if self._trial_since is None:
            self._trial_since = now
        if wanted.target != self._label.path:
            self._keep(phase="returning", reason="")
            return SOON_S
        vitals: Vitals = self._host.vitals()
        self.figures = vitals.figures
        if vitals.wrong:
            self._keep(phase="returning", reason=vitals.wrong)
            return SOON_S
        age = now - self._trial_since
        if age >= wanted.health_s and (vitals.parts or age >= PATIENCE * wanted.health_s):
            self._keep(phase="committing")
            return SOON_S
        return min(POLL_S, max(wanted.health_s - age, POLL_S / 10))

    def _committing(self) -> float:
        record, _ = self._slots.marked()
        if record.trial == self._state.slot:
            self._slots.mark(record.committed())
        label = self._label
        log.info("update_committed", kind=self._kind, target=label.path)
        self._end(self._state.committed(label))
        return SOON_S

    def _returning(self) -> float:
        state = self._state
        record, _ = self._slots.marked()
        if record.trial is not None:
            record = record.returned()
            self._slots.mark(record)
        if self._host.running() != record.live:
            self._host.switch(record.live)
            if self._host.running() != record.live:
                return POLL_S
        target = state.label.path if state.label else ""
        log.warning("update_returned", kind=self._kind, target=target, reason=state.reason)
        if state.reason and state.label:
            self._end(state.ended({target: state.reason}, target))
        else:
            self._end(state.ended(state.failed))
        return SOON_S

    def _failed(self, error: Exception) -> float:
        """A step raised: the release is given up, after the switch by returning to the old one."""
        reason = in_words(error)
        state = self._state
        match state.phase:
            case "idle" if not isinstance(error, UpdateError):
                # Stale metadata, say: not the release's fault, and it may be better later.
                return self._try_later(error)
            case "committing" | "returning":
                return self._try_later(error)
            case "switching" | "trial":
                return self._guarded(lambda: self._keep(phase="returning", reason=reason))
            case _:
                target = state.label.path if state.label else self._want.target
                return self._guarded(lambda: self._give_up(target, reason))

    def _guarded(self, change: Callable[[], None]) -> float:
        """Even the end of an update may meet a disk that can't be written."""
        try:
            change()
        except Exception as error:  # noqa: BLE001 - see `step`
            return self._try_later(error)
        return SOON_S

    def _give_up(self, target: str, reason: str) -> None:
        log.warning("update_given_up", kind=self._kind, target=target, reason=reason)
        state = self._state
        if state.phase != "idle":
            self._slots.discard(state.slot)
        self._end(state.ended({target: reason}, target))

    def _drop(self) -> None:
        log.info("update_withdrawn", kind=self._kind, phase=self._state.phase)
        self._slots.discard(self._state.slot)
        self._end(self._state.ended(self._state.failed))

    def _end(self, state: UpdateState) -> None:
        self._host.rest()
        self._shadowing = self._trying = False
        self._trial_since = None
        self._live = self._slots.held(self._slots.marked().record.live)
        self._become(state)
        self._problem = ""

    def _try_later(self, error: Exception) -> float:
        delay = min(BACKOFF_S[0] * 2.0**self._failures, BACKOFF_S[1])
        self._failures = min(self._failures + 1, 16)
        self._problem = str(error)
        log.info("update_tried_later", kind=self._kind, seconds=delay, error=self._problem)
        return delay

    def _keep(self, **changed: Any) -> None:
        self._become(msgspec.structs.replace(self._state, **changed))

    def _become(self, state: UpdateState) -> None:
        phase = self._state.phase
        # Kept before it holds: a step that fails here is done again.
        self._memo.keep(state)
        self._state = state
        if state.phase != phase:
            target = state.label.path if state.label else ""
            log.info("update_phase", kind=self._kind, phase=state.phase, target=target)

    @property
    def _want(self) -> Wanted:
        return self._wanted or Wanted()

    @property
    def _label(self) -> Label:
        return label_in(self._state)


def in_words(error: Exception) -> str:
    if isinstance(error, SplitsightError):
        return error.message
    return f"{type(error).__name__}: {error}"


def is_within(minute: int, window: tuple[int, int] | None) -> bool:
    """Whether a minute of the day lies in a window, which may reach over midnight."""
    if window is None:
        return True
    start, end = window
    return start <= minute < end if start <= end else minute >= start or minute < end
