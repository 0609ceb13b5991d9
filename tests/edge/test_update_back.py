"""A model that replaces a newer one is not compared with it: that was the one nobody wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.inspection.model import LiveModel
from edge.updates.base import Label
from edge.updates.disk import RealDisk
from edge.updates.drift import DriftLimits
from edge.updates.hosts.models import ModelHost
from edge.updates.observation import ModelWatch
from edge.updates.slots import FolderSlots
from shared.bundles.bundle import Bundle, pack_bundle
from shared.clock import ManualClock
from shared.contracts import Decision, Finding, Frame
from shared.storage.slots import Slot, SlotRecord
from tests.bundles import make_bundle

PARTS = 40
FRAME = Frame(np.zeros((1, 1), np.uint8), 1, 0.0, 1.0)
NOTHING = np.zeros((1, 1, 1), np.int8), np.zeros((1, 1), np.float32)


class Scores:
    """An inspector whose scores go through a list."""

    def __init__(self, *scores: float) -> None:
        self._scores = scores
        self._next = 0

    def look(self, frame: Frame) -> Finding:  # noqa: ARG002 - it was told what to find
        self._next += 1
        return Finding(Decision.PASS, self._scores[self._next % len(self._scores)], *NOTHING)


class Swapped:
    """Stands where the agent does: takes the model and lets it see parts."""

    def __init__(self, watch: ModelWatch) -> None:
        self._watch = watch
        self._model: LiveModel | None = None

    def swap(self, model: LiveModel) -> float:
        self._model = model
        return 0.0

    def inspect(self, parts: int) -> None:
        assert self._model is not None
        for _ in range(parts):
            self._watch.saw(FRAME, self._model.inspector.look(FRAME), 0.01)


GOOD, BLIND = (0.05, 0.95, 0.5, 0.2), (0.02,)


def label(version: int) -> Label:
    return Label(f"models/m/{version}.zip", 1, "", counter=version, name="m")


@pytest.mark.parametrize(
    ("counters", "wrong"), [({"a": 1, "b": 2}, False), ({"a": 3, "b": 2}, True)]
)
def test_only_a_release_that_is_newer_must_find_what_was_usual(
    tmp_path: Path, counters: dict[Slot, int], wrong: bool
) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    slots = FolderSlots(RealDisk(), tmp_path / "slots", ".zip")
    for slot, other in (("a", "b"), ("b", "a")):
        slots.mark(SlotRecord(other))  # type: ignore[arg-type]
        path = slots.payload(slot)  # type: ignore[arg-type]
        path.parent.mkdir(parents=True, exist_ok=True)
        pack_bundle(bundle, path)
        slots.name(slot, label(counters[slot]))  # type: ignore[arg-type,index]
    slots.mark(SlotRecord("b"))
    watch, clock = ModelWatch(), ManualClock()

    def opens(opened: Bundle) -> LiveModel:
        return LiveModel.of(opened, Scores(*GOOD), "scripted")

    host = ModelHost(
        slots=slots,
        factory=bundle.path,
        opens=opens,
        watch=watch,
        limits=DriftLimits(budget_s=0.5),
        clock=clock,
        started="b",
    )
    agent, blind = Swapped(watch), LiveModel.of(bundle, Scores(*BLIND), "scripted")
    host.attach(agent, blind)
    agent.swap(blind)
    agent.inspect(PARTS)
    host.switch("a")
    agent.inspect(PARTS)
    assert bool(host.vitals().wrong) == wrong
