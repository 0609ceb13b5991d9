"""Runs the bundle of a slot: proves it, lets it look on, and swaps it in between two parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from edge.inspection.model import LiveModel
from edge.updates.base import Label, Opinion, Vitals
from edge.updates.disk import DurableFiles, replace
from edge.updates.drift import DriftLimits, Looked, against_trial, p99, psi
from edge.updates.observation import ModelWatch, ShadowRun
from edge.updates.slots import FolderSlots
from shared.bundles.bundle import Bundle
from shared.clock import Clock
from shared.errors import SplitsightError, UpdateError
from shared.log import get_logger
from shared.storage.slots import Slot

log = get_logger("updates")

SUFFIX = ".zip"
# Makes a model of a bundle that agrees with its golden outputs here, or raises SplitsightError.
Opens = Callable[[Bundle], LiveModel]


class Swaps(Protocol):
    """What is needed of an agent; see `edge.agent.Agent`."""

    def swap(self, model: LiveModel) -> float: ...


def start_model(slots: FolderSlots, factory: Path, opens: Opens) -> tuple[Slot, LiveModel]:
    """The model to start with, and its slot; a trial has one try less when this returns.

    A bundle that can't be opened is not tried again: the live one starts, and where even that is
    damaged the one of the configuration, so that parts get verdicts. Raises what opening that one
    raises.
    """
    slot = slots.booted()
    while True:
        held = slots.held(slot)
        path = slots.payload(slot) if held else factory
        try:
            return slot, opens(Bundle.open(path))
        except SplitsightError as error:
            log.exception("bundle_unusable", slot=slot, path=path.name)
            record = slots.marked().record
            if record.trial == slot:
                slots.mark(record.returned())
                slot = record.live
            elif held:
                log.warning("factory_bundle_used", error=error.message)
                return slot, opens(Bundle.open(factory))
            else:
                raise


class ModelHost:
    """`Host` for models, in a running agent.

    gap_s  for how long no part could be begun at the last swap
    """

    # The swap needs no start; one that stops the process may do so once more.
    tries = 1

    def __init__(
        self,
        *,
        slots: FolderSlots,
        factory: Path,
        opens: Opens,
        watch: ModelWatch,
        limits: DriftLimits,
        clock: Clock,
        started: Slot,
    ) -> None:
        """started: the slot that `start_model` gave"""
        self._slots = slots
        self._factory = factory
        self._opens = opens
        self._watch = watch
        self._limits = limits
        self._clock = clock
        self._running = started
        self._agent: Swaps | None = None
        self._ready: dict[Slot, LiveModel] = {}
        self._shadow: ShadowRun | None = None
        self._memory = ModelHistory(slots.disk, slots.folder / "before.json")
        self._before = self._memory.read()
        self.gap_s = 0.0

    def attach(self, agent: Swaps, model: LiveModel) -> None:
        """The agent that runs, and what it runs."""
        self._agent = agent
        self._ready[self._running] = model

    def running(self) -> Slot:
        return self._running

    def prove(self, slot: Slot, label: Label) -> None:
        bundle = Bundle.open(self._slots.payload(slot))
        found = (bundle.id, bundle.manifest.pair)
        if found != (label.bundle, label.pair):
            raise UpdateError(
                f"the payload holds bundle {found[0]} with pair {found[1]}; signed are "
                f"{label.bundle} with pair {label.pair}",
                fix="add the bundle again with `splitsight fleet release add`",
            )
        self._ready[slot] = self._opens(bundle)

    def shadow(self, slot: Slot, parts: int) -> None:
        candidate = self._model(slot).inspector
        self._shadow = ShadowRun(candidate, parts, self._limits, self._clock)
        self._shadow.start()
        self._watch.shade(self._shadow)

    def shadowed(self) -> Opinion:
        opinion = self._shadow.opinion() if self._shadow else Opinion(done=True)
        if opinion.done:
            self._watch.shade(None)
        return opinion

    def switch(self, slot: Slot) -> None:
        if slot == self._running:
            return
        if self._agent is None:
            raise UpdateError("no agent runs here", fix="start the agent")
        model = self._model(slot)
        # What goes back is meant to differ from what it replaces.
        before = [] if self._is_older(slot) else self._watch.looks
        self._memory.keep(before)
        self._before = before
        self.gap_s = self._agent.swap(model)
        self._watch.begin()
        self._running = slot
        log.info("model_swapped", bundle=model.bundle, pair=model.pair, gap_ms=self.gap_s * 1000)

    def _is_older(self, slot: Slot) -> bool:
        """Whether a slot holds an earlier release than the one that runs."""
        new, old = self._slots.held(slot), self._slots.held(self._running)
        return old is not None and (new is None or new.counter < old.counter)

    def vitals(self) -> Vitals:
        looks = self._watch.looks
        figures = {"trial_p99_ms": p99(looks) * 1000}
        if looks and self._before:
            figures["drift"] = psi(
                [look.score for look in self._before], [look.score for look in looks]
            )
        wrong = against_trial(self._before, looks, self._watch.failures, self._limits)
        return Vitals(self._watch.parts, wrong, figures)

    def rest(self) -> None:
        self._watch.shade(None)
        if self._shadow is not None:
            self._shadow.stop()
            self._shadow = None
        running = self._ready.get(self._running)
        self._ready = {self._running: running} if running else {}

    def _model(self, slot: Slot) -> LiveModel:
        if slot not in self._ready:
            path = self._slots.payload(slot) if self._slots.held(slot) else self._factory
            self._ready[slot] = self._opens(Bundle.open(path))
        return self._ready[slot]


class ModelHistory:
    """What the model before did, on the disk: a trial is compared with it after a start as well."""

    def __init__(self, disk: DurableFiles, path: Path) -> None:
        self._disk = disk
        self._path = path

    def keep(self, looks: Sequence[Looked]) -> None:
        replace(self._disk, self._path, msgspec.json.encode(list(looks)))

    def read(self) -> list[Looked]:
        try:
            return msgspec.json.decode(self._disk.read(self._path), type=list[Looked])
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return []
