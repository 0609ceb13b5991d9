"""A device learns from its own labels, keeps what is its own, and refuses what it can't do."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.learner.device import LearningDevice, LearningRefused
from edge.learner.local_state import LocalState
from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import (
    NO_LABELS,
    ONE_CLASS,
    OTHER_BASE,
    OTHER_LAYOUT,
    Scope,
    TrainOrder,
    VectorLayout,
)
from tests.fleet.rounds.tiny import TINY, Parts, TinyStudent, tiny_base, tiny_device

pytestmark = pytest.mark.torch


class Room:
    """A device, its base, and the order that it is given."""

    def __init__(self, folder: Path, parts: Parts | None = None, scope: Scope = TINY) -> None:
        self.path = tiny_base(folder)
        self.base = BaseNetwork.read(self.path)
        self.device = tiny_device(parts or Parts("box"), self.path, folder / "state")
        self.layout = VectorLayout.of(self.base.arrays, scope.travelling(self.base.arrays))
        self.values = self.layout.flat(self.base.arrays)
        self.order = TrainOrder(
            "run", self.base.sha256, self.layout.sha256, scope, rate=0.05, block_share=1.0
        )

    def train(self, round_: int = 1, proximal: float = 0.0) -> np.ndarray:
        return self.device.train(self.order, self.values, round_, proximal).vector


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_training_changes_what_travels_and_says_from_how_many_pictures(room: Room) -> None:
    change = room.device.train(room.order, room.values, 1)
    assert np.abs(change.vector).max() > 0
    assert change.examples == room.device.counts().parts
    assert np.isfinite(change.loss)


def test_a_round_that_is_trained_again_gives_the_same_bits(room: Room) -> None:
    first = room.train()
    room.train(2)
    assert np.array_equal(room.train(), first)
    assert not np.array_equal(room.train(2), first)


def test_straying_costs_under_a_proximal_term(room: Room) -> None:
    free = np.linalg.norm(room.train())
    held = np.linalg.norm(room.train(proximal=100.0))
    assert held < free


def test_what_is_local_goes_on_from_the_rounds_before(tmp_path: Path) -> None:
    scope = Scope(from_block=1, encoder=False, normalisation="local")
    room = Room(tmp_path, scope=scope)
    second_alone = room.train(2)
    room.train(1)
    second = room.train(2)
    assert not np.array_equal(second, second_alone)
    # Another run begins with the base's.
    other = msgspec.structs.replace(room.order, run="other")
    assert np.array_equal(room.device.train(other, room.values, 2).vector, second_alone)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (Parts("box", good=0, defective=0), NO_LABELS),
        (Parts("box", good=9, defective=0), ONE_CLASS),
        (Parts("box", good=0, defective=9), ONE_CLASS),
    ],
)
def test_without_labels_of_both_classes_it_refuses(tmp_path: Path, parts: Parts, code: int) -> None:
    with pytest.raises(LearningRefused) as refusal:
        Room(tmp_path, parts).train()
    assert refusal.value.code == code


def test_values_of_another_base_or_layout_are_refused(room: Room) -> None:
    order = TrainOrder("run", "0" * 64, room.layout.sha256, TINY)
    with pytest.raises(LearningRefused, match="has the base") as refusal:
        room.device.train(order, room.values, 1)
    assert refusal.value.code == OTHER_BASE
    order = TrainOrder("run", room.base.sha256, "0" * 64, TINY)
    with pytest.raises(LearningRefused) as refusal:
        room.device.train(order, room.values, 1)
    assert refusal.value.code == OTHER_LAYOUT
    with pytest.raises(LearningRefused) as refusal:
        room.device.train(room.order, room.values[:-1], 1)
    assert refusal.value.code == OTHER_LAYOUT


def test_values_that_make_no_loss_end_the_training_by_name(room: Room) -> None:
    room.values = np.full_like(room.values, np.nan)
    with pytest.raises(FederationError, match="the loss became nan"):
        room.train()


def test_training_pauses_before_every_step(tmp_path: Path) -> None:
    room = Room(tmp_path)
    pauses = []
    parts = room.device.parts
    device = LearningDevice(
        parts,
        room.base,
        LocalState(tmp_path / "s"),
        maker=TinyStudent,
        pause=lambda: pauses.append(1),
    )
    change = device.train(room.order, room.values, 1)
    assert len(pauses) == change.examples // room.order.batch


def test_local_state_keeps_two_rounds_and_stays_in_its_folder(tmp_path: Path) -> None:
    state = LocalState(tmp_path / "state")
    for number in (1, 2, 3):
        state.keep("run", number, {"a": np.array([number], np.float32)})
    assert state.before("run", 4)["a"] == 3
    assert state.before("run", 3)["a"] == 2
    assert state.before("run", 2) == {}
    assert state.before("never", 2) == {}
    # Begun again from its start: what came later before is gone.
    state.keep("run", 1, {"a": np.array([7], np.float32)})
    assert state.before("run", 9)["a"] == 7
    for name in ("../evil", "..", "", "a/b", "x" * 65):
        with pytest.raises(FederationError, match="can't be the name of a run"):
            state.keep(name, 1, {})
