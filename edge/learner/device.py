"""One device as a round sees it: what it knows, trains, and judges. No message in sight."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edge.learner.evaluation import LocalJudgements, judge
from edge.learner.feature_cache import CachedFeatures, prepare_examples
from edge.learner.local_state import LocalState
from edge.learner.trainable import SplitStudent, Student, StudentMaker
from edge.learner.training import learn
from edge.learning.labelled_parts import LabelledParts, Use, counts_of
from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import (
    NO_LABELS,
    ONE_CLASS,
    OTHER_BASE,
    OTHER_LAYOUT,
    LabelCounts,
    Scope,
    TrainOrder,
    Vector,
    VectorLayout,
    seed_of,
)


class LearningRefused(FederationError):
    """The device can't do what was asked; `code` is one of `shared.federation.protocol.REASONS`."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class WeightChange(NamedTuple):
    """What a device learned.

    vector    what travels, against what came
    examples  pictures that it learned from
    loss      mean of the last epoch
    seconds   that it took
    """

    vector: Vector
    examples: int
    loss: float
    seconds: float


class FeatureMemory(Protocol):
    """Where examples are kept between rounds of one process."""

    def get(self, key: tuple[object, ...]) -> CachedFeatures | None: ...

    def put(self, key: tuple[object, ...], examples: CachedFeatures) -> None: ...


class InMemory:
    """Examples kept as long as the process lives; several devices may share it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], CachedFeatures] = {}

    def get(self, key: tuple[object, ...]) -> CachedFeatures | None:
        return self._kept.get(key)

    def put(self, key: tuple[object, ...], examples: CachedFeatures) -> None:
        """What is kept for the same device and use was looked at before its labels changed."""
        self._kept = {known: old for known, old in self._kept.items() if known[:2] != key[:2]}
        self._kept[key] = examples


@dataclass(slots=True)
class _Desk:
    """A student with the layout of what travels, for one scope."""

    student: Student
    layout: VectorLayout
    local: list[str]


class LearningDevice:
    """Safe to use from one thread at a time.

    parts    its labelled pictures
    base     the network that it has
    state    what it keeps to itself between rounds
    maker    builds the network
    memory   where looked-at pictures are kept
    pause    called before every step of training
    threads  for arithmetic: the same number gives the same bits
    """

    def __init__(
        self,
        parts: LabelledParts,
        base: BaseNetwork,
        state: LocalState,
        *,
        maker: StudentMaker = SplitStudent,
        memory: FeatureMemory | None = None,
        pause: Callable[[], None] = lambda: None,
        threads: int = 1,
    ) -> None:
        self.parts = parts
        self.base = base
        self._state = state
        self._maker = maker
        self._memory = memory or InMemory()
        self._pause = pause
        self._threads = threads
        self._desks: dict[Scope, _Desk] = {}

    @property
    def name(self) -> str:
        return self.parts.device

    def counts(self) -> LabelCounts:
        return counts_of(self.parts, self.base.sha256)

    def train(
        self, order: TrainOrder, values: NDArray[np.floating], round_: int, proximal: float = 0.0
    ) -> WeightChange:
        """Learn from what came, and keep what is this device's own.

        Raises Refused where it can't take part, SplitsightError where its training fails.
        """
        started = time.monotonic()
        self._refuse_without_labels()
        desk = self._sit_down(order, values, round_)
        draws = torch.Generator().manual_seed(seed_of(order, self.name, round_))
        state = desk.student.module.state_dict()
        came = {name: state[name].detach().clone() for name in desk.layout.shapes}
        examples = self._examples(desk.student, order, "train", order.versions)
        learned = learn(
            desk.student,
            examples,
            order,
            draws,
            anchors=came,
            proximal=proximal,
            pause=self._pause,
        )
        after = _arrays(desk.student.module.state_dict())
        if desk.local:
            self._state.keep(order.run, round_, {name: after[name] for name in desk.local})
        vector = desk.layout.flat(after) - desk.layout.flat(_arrays(came))
        return WeightChange(vector, len(examples), learned.loss, time.monotonic() - started)

    def judge(
        self, order: TrainOrder, values: NDArray[np.floating], round_: int, use: Use = "test"
    ) -> LocalJudgements:
        """Judge the held-out parts as the network would after `round_`. Raises Refused."""
        desk = self._sit_down(order, values, round_ + 1)
        examples = self._examples(desk.student, order, use, 1)
        return judge(desk.student, examples)

    def changed(
        self, order: TrainOrder, values: NDArray[np.floating]
    ) -> dict[str, NDArray[np.float32]]:
        """What came, by name; the base has the rest. Raises Refused where it is of another."""
        self._expect_base(order)
        names = order.scope.travelling(list(self.base.arrays))
        layout = VectorLayout.of(self.base.arrays, names)
        if order.layout != layout.sha256 or values.shape != (layout.size,):
            raise LearningRefused(OTHER_LAYOUT, f"{self.name} has other layers than those sent")
        return {name: a.astype(np.float32) for name, a in layout.named(values).items()}

    def _expect_base(self, order: TrainOrder) -> None:
        if order.base != self.base.sha256:
            raise LearningRefused(
                OTHER_BASE,
                f"{self.name} has the base {self.base.sha256[:12]}, not {order.base[:12]}",
            )

    def _refuse_without_labels(self) -> None:
        refusal = self.counts().refusal()
        if refusal == NO_LABELS:
            raise LearningRefused(NO_LABELS, f"{self.name} has no labelled parts")
        if refusal == ONE_CLASS:
            raise LearningRefused(ONE_CLASS, f"{self.name} has labels of one class only")

    def _sit_down(self, order: TrainOrder, values: NDArray[np.floating], round_: int) -> _Desk:
        """The network as it stands before a round."""
        torch.set_num_threads(self._threads)
        self._expect_base(order)
        desk = self._desks.get(order.scope)
        if desk is None:
            desk = self._desks[order.scope] = self._desk(order.scope)
        if order.layout != desk.layout.sha256 or values.shape != (desk.layout.size,):
            raise LearningRefused(
                OTHER_LAYOUT, f"{self.name} would train other layers than those sent"
            )
        arrays: dict[str, NDArray[Any]] = {name: self.base.arrays[name] for name in desk.local}
        arrays |= self._state.before(order.run, round_)
        arrays |= desk.layout.named(values)
        state = desk.student.module.state_dict()
        with torch.no_grad():
            for name, array in arrays.items():
                state[name].copy_(torch.from_numpy(np.asarray(array, np.float32)))
        return desk

    def _desk(self, scope: Scope) -> _Desk:
        names = list(self.base.arrays)
        travelling = scope.travelling(names)
        kept = set(travelling)
        local = [name for name in scope.learned(names) if name not in kept]
        student = self._maker(self.base, scope)
        return _Desk(student, VectorLayout.of(self.base.arrays, travelling), local)

    def _examples(
        self, student: Student, order: TrainOrder, use: Use, versions: int
    ) -> CachedFeatures:
        index = tuple(self.parts.index())
        frozen = (order.scope.from_block, self.base.sha256)
        key = (self.name, use, versions, order.seed, frozen, index)
        examples = self._memory.get(key)
        if examples is None:
            draws = torch.Generator().manual_seed(seed_of(order, f"{self.name}/{use}", 0))
            examples = prepare_examples(self.parts, use, student, versions, draws)
            self._memory.put(key, examples)
        return examples


def _arrays(state: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
    return {name: value.detach().numpy() for name, value in state.items()}
