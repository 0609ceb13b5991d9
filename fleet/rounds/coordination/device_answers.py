"""What every device answers after the training, over the run's own grid: sums and single answers.

Sums are made under masks from three devices up, as updates are; counts come out of them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from fleet.rounds.aggregation.plain_aggregation import refusal_of
from fleet.rounds.aggregation.secure_sum import SecureSum, SecureTerms
from fleet.rounds.aggregation.updates import MOST_EXAMPLES
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.grids.messaging import GridMessaging
from fleet.rounds.report.findings import Exclusion
from shared.errors import FederationError, WireError
from shared.federation.fixed_point import MODULUS
from shared.federation.flower_arrays import unpacked
from shared.federation.masking import FEWEST
from shared.federation.protocol import ARRAYS, CHANGE, CONFIG, EXAMPLES, METRICS, Vector
from shared.federation.questions import (
    COMPARED,
    LIKE,
    MEASURE,
    QUESTION,
    VALUES_KEY,
    Comparison,
    Question,
    What,
    model_key,
)
from shared.log import get_logger

log = get_logger("rounds")

MOST_PICTURES = 1024
_NO_LIMIT = 1e30
Found = TypeVar("Found", dict[str, Vector], dict[str, Comparison], list[str])
_FIND = "see who was set aside; `splitsight fleet federate` goes on from here when run again"


@dataclass(frozen=True, slots=True)
class SummedAnswer:
    """What devices answered together.

    total    the sum of counts, or the mean weighed by pictures
    devices  by name
    """

    total: Vector
    devices: tuple[str, ...]


@dataclass(slots=True)
class DeviceAnswers:
    """Answers of the devices of a run, each asked for as it is wanted.

    names    of devices, by node
    values   of the network that they are asked about, as they are sent
    aside    who has not answered what, and why
    seen     what the coordinator saw, a sentence a question
    """

    messaging: GridMessaging
    privacy: PrivacySettings
    names: Mapping[int, str]
    deadline_s: float
    values: NDArray[np.float16]
    aside: list[Exclusion] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    @property
    def under_masks(self) -> bool:
        return self.privacy.secure_aggregation and len(self.names) >= FEWEST

    def single(self, question: Question, models: Sequence[bytes], length: int) -> dict[str, Vector]:
        """Each device's own numbers, by name. Raises FederationError where nobody answers."""
        found: dict[str, Vector] = {}
        for name, content in self._answers(question, models, length).items():
            try:
                found[name] = _numbers(content, length)
            except FederationError as error:
                self._set_aside(name, question.what, error.message)
        self._note(question.what, f"of each of {len(found)} devices")
        return self._some(found, question.what)

    def comparisons(self, question: Question, models: Sequence[bytes]) -> dict[str, Comparison]:
        """Each device's own, by name."""
        found: dict[str, Comparison] = {}
        for name, content in self._answers(question, models, 0).items():
            config = content.config_records.get(CONFIG) or ConfigRecord()
            try:
                found[name] = Comparison.decode(config.get(COMPARED))
            except WireError as error:
                self._set_aside(name, question.what, error.message)
        self._note(question.what, f"of each of {len(found)} devices")
        return self._some(found, question.what)

    def counted(self, question: Question, models: Sequence[bytes], length: int) -> SummedAnswer:
        """The exact sum of counts. Raises FederationError where it can't be made."""
        steps = (MODULUS // 2 - 1) // len(self.names)
        summed = self._summed(question, models, length, cap=1, limit=float(steps))
        return SummedAnswer(np.rint(summed.total * len(summed.devices)), summed.devices)

    def averaged(self, question: Question, models: Sequence[bytes], length: int) -> SummedAnswer:
        """The mean of numbers within ±1, weighed by pictures."""
        # The larger the cap beside a device's pictures, the coarser is what it says.
        cap = question.most or MOST_PICTURES
        return self._summed(question, models, length, cap=cap, limit=1.0)

    def _summed(
        self, question: Question, models: Sequence[bytes], length: int, *, cap: int, limit: float
    ) -> SummedAnswer:
        if not self.under_masks:
            return self._plain_sum(question, models, length, cap)
        terms = SecureTerms(
            cap=cap,
            norm=_NO_LIMIT,
            floor=limit,
            reach=0.0,
            metrics={},
            step_seconds=self.privacy.step_s,
        )
        summing = SecureSum(self.messaging, terms, self._name)
        try:
            mean = summing.gather(self._messages(question, models, length), self.deadline_s).mean
        finally:
            for node, why in sorted(summing.aside.items()):
                self._set_aside(self._name(node), question.what, why)
        devices = tuple(sorted(self._name(node) for node in mean.devices))
        self._note(question.what, f"summed over {len(devices)} devices")
        return SummedAnswer(np.asarray(mean.mean, np.float64), devices)

    def _plain_sum(
        self, question: Question, models: Sequence[bytes], length: int, cap: int
    ) -> SummedAnswer:
        total, weights, devices = np.zeros(length), 0, []
        for name, content in sorted(self._answers(question, models, length).items()):
            try:
                weight = min(_weight(content), cap)
                total += _numbers(content, length) * weight
            except FederationError as error:
                self._set_aside(name, question.what, error.message)
                continue
            weights += weight
            devices.append(name)
        why = (
            "too few to hide each other"
            if self.privacy.secure_aggregation
            else "secure aggregation is off"
        )
        self._note(question.what, f"of each of {len(devices)} devices ({why})")
        self._some(devices, question.what)
        return SummedAnswer(total / weights, tuple(devices))

    def _answers(
        self, question: Question, models: Sequence[bytes], length: int
    ) -> dict[str, RecordDict]:
        found: dict[str, RecordDict] = {}
        messages = self._messages(question, models, length)
        for reply in self.messaging(messages, timeout=self.deadline_s):
            name = self._name(reply.metadata.src_node_id)
            if reply.has_error():
                reason = refusal_of(reply.error.code, reply.error.reason)
                self._set_aside(name, question.what, reason)
            else:
                found[name] = reply.content
        refused = {one.device for one in self.aside}
        for name in set(self.names.values()) - set(found) - refused:
            self._set_aside(name, question.what, f"no answer within {self.deadline_s:g} s")
        return found

    def _messages(self, question: Question, models: Sequence[bytes], length: int) -> list[Message]:
        config: dict[str, str | bytes] = {QUESTION: question.encode()}
        if question.order is not None:
            config[VALUES_KEY] = self.values.tobytes()
        config |= {model_key(place): model for place, model in enumerate(models)}
        like = ArrayRecord({LIKE: Array(np.zeros(length, np.int8))})
        return [
            Message(RecordDict({ARRAYS: like, CONFIG: ConfigRecord(dict(config))}), node, MEASURE)
            for node in sorted(self.names)
        ]

    def _name(self, node: int) -> str:
        return self.names.get(node, f"node {node}")

    def _set_aside(self, name: str, what: What, reason: str) -> None:
        log.warning("question_unanswered", device=name, what=what, reason=reason)
        self.aside.append(Exclusion(name, f"{what}: {reason}"))

    def _note(self, what: What, how: str) -> None:
        self.seen.append(f"{SEEN[what]}, {how}")

    def _some(self, found: Found, what: What) -> Found:
        if not found:
            why = "; ".join(f"{one.device}: {one.reason}" for one in self.aside)
            raise FederationError(f"no device has answered with its {what} ({why})", fix=_FIND)
        return found


SEEN: dict[What, str] = {
    "magnitudes": "the largest input of each channel of each layer",
    "moments": "second moments of layers' inputs",
    "ranges": "the smallest and the largest activation of each layer",
    "shifts": "how many pictures int8 moves by how much",
    "symbols": "how often each feature symbol comes",
    "tally": "how many parts score above each threshold",
    "system": "how many parts edge and cloud together pass and reject at each threshold",
    "comparison": "how many held-out parts pass and are rejected before and after, and AUROC",
}
"""What the coordinator sees of pictures; never one of them, and no part's own score."""


def _weight(content: RecordDict) -> int:
    metrics = content.metric_records.get(METRICS)
    weight = metrics.get(EXAMPLES) if metrics else None
    if not isinstance(weight, int) or not 1 <= weight <= MOST_EXAMPLES:
        raise FederationError(f"its answer claims to stand for {weight} pictures")
    return weight


def _numbers(content: RecordDict, length: int) -> Vector:
    arrays = content.array_records.get(ARRAYS) or ArrayRecord()
    array = arrays.get(CHANGE)
    if array is None or tuple(array.shape) != (length,):
        found = tuple(array.shape) if array else "none"
        raise FederationError(f"its answer has {found} numbers, {length} were wanted")
    values = np.asarray(unpacked(array), np.float64)
    if values.shape != (length,) or not np.isfinite(values).all():
        raise FederationError("its answer holds what is no number")
    return values
