"""How a device answers in a federated round: Flower's ClientApp around a `LearningDevice`.

How a device is asked, on Flower's Message API (names in `shared/federation/protocol.py`):

- **query**: no content. Answer: its `Counts` in the config record.
- **train**: the values that are shared, 16-bit, and a `TrainOrder`. Answer: the change, 16-bit,
  with the number of pictures that it was learned from.
- **evaluate**: the same content. Answer: how well it judges the device's held-out parts.
- **evaluate.measure**: a `shared.federation.questions.Question`. Answer: numbers, or a comparison.

What can't be done is answered with an error whose code and reason say why; the coordinator sets
the device aside by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from edge.learner.device import InMemory, LearningDevice, LearningRefused
from edge.learner.folder import read_domains
from edge.learner.local_state import LocalState
from edge.learner.measurement import Asked, answer, compare
from edge.learner.secure_aggregation import KeyProofs
from edge.learner.secure_mod import add_secure_steps, secured
from edge.learner.trainable import SplitStudent, StudentMaker
from shared.certification.ranking import auroc
from shared.errors import SplitsightError, WireError
from shared.federation.base_network import BaseNetwork
from shared.federation.flower_arrays import unpacked
from shared.federation.protocol import (
    ARRAYS,
    CHANGE,
    CONFIG,
    COUNTS,
    DEVICE,
    EXAMPLES,
    FAILED,
    LAYOUT,
    LOSS,
    METRICS,
    ONE_CLASS,
    ORDER,
    PROXIMAL,
    ROUND,
    UNANSWERED,
    VALUES,
    TrainOrder,
    narrow,
)
from shared.federation.questions import (
    COMPARED,
    MOST_MODEL_BYTES,
    MOST_MODELS,
    QUESTION,
    VALUES_KEY,
    Question,
    model_key,
)
from shared.log import get_logger

log = get_logger("learner")


MOST_ROUNDS = 999_999


def client_app(device: LearningDevice, proofs: KeyProofs | None = None) -> ClientApp:
    """A ClientApp for one device.

    proofs   of whose keys are in secure sums; None for devices without a certificate
    """
    secure_mod = secured(proofs)
    app = ClientApp()

    @app.query()
    def query(message: Message, _context: Context) -> Message:
        counts = ConfigRecord({COUNTS: device.counts().encode()})
        return Message(RecordDict({CONFIG: counts}), reply_to=message)

    add_secure_steps(app, proofs)

    @app.train(mods=[secure_mod])
    def train(message: Message, _context: Context) -> Message:
        return _answered(message, lambda: _train(device, message.content))

    @app.evaluate()
    def evaluate(message: Message, _context: Context) -> Message:
        return _answered(message, lambda: _evaluate(device, message.content))

    @app.evaluate("measure", mods=[secure_mod])
    def measure(message: Message, _context: Context) -> Message:
        return _answered(message, lambda: _measure(device, message.content), UNANSWERED)

    return app


def apps_of_folder(
    manifest: Path,
    base: Path,
    state: Path,
    domains: Sequence[str] = (),
    *,
    maker: StudentMaker = SplitStudent,
) -> dict[str, ClientApp]:
    """Devices of a data set, one a domain, by name: for the simulator and experiments.

    manifest  a CSV manifest with the column `domain`
    state     the folder in which each keeps what is its own
    Raises SplitsightError where data or base can't be read.
    """
    network, memory = BaseNetwork.read(base), InMemory()
    return {
        name: client_app(
            LearningDevice(parts, network, LocalState(state / name), maker=maker, memory=memory)
        )
        for name, parts in read_domains(manifest, domains).items()
    }


def _answered(message: Message, work: Callable[[], RecordDict], failed: int = FAILED) -> Message:
    try:
        return Message(work(), reply_to=message)
    except LearningRefused as refusal:
        return Message(Error(refusal.code, refusal.message), reply_to=message)
    except SplitsightError as error:
        log.warning("learning_failed", error=str(error))
        return Message(Error(failed, error.message), reply_to=message)


def _train(device: LearningDevice, content: RecordDict) -> RecordDict:
    order, round_, values = _unpack(content)
    proximal = content.config_records[CONFIG].get(PROXIMAL, 0.0)
    change = device.train(order, values, round_, float(str(proximal)))
    log.info("round_trained", round=round_, examples=change.examples, seconds=change.seconds)
    return RecordDict(
        {
            ARRAYS: ArrayRecord({CHANGE: Array(narrow(change.vector))}),
            METRICS: MetricRecord({EXAMPLES: change.examples, LOSS: change.loss}),
            CONFIG: ConfigRecord({DEVICE: device.name, LAYOUT: order.layout, ROUND: round_}),
        }
    )


def _evaluate(device: LearningDevice, content: RecordDict) -> RecordDict:
    order, round_, values = _unpack(content)
    judged = device.judge(order, values, round_)
    value = auroc(judged.score, judged.defective)
    if not np.isfinite(value):
        raise LearningRefused(ONE_CLASS, f"{device.name} holds out parts of one class only")
    return RecordDict(
        {
            METRICS: MetricRecord({EXAMPLES: len(judged.part), "auroc": value}),
            CONFIG: ConfigRecord({DEVICE: device.name, ROUND: round_}),
        }
    )


def _measure(device: LearningDevice, content: RecordDict) -> RecordDict:
    asked = _asked(content)
    who: dict[str, str | bytes] = {DEVICE: device.name}
    if asked.question.what == "comparison":
        who[COMPARED] = compare(device, asked).encode()
        return RecordDict({CONFIG: ConfigRecord(dict(who))})
    measured = answer(device, asked)
    return RecordDict(
        {
            ARRAYS: ArrayRecord({CHANGE: Array(measured.vector.astype(np.float32))}),
            METRICS: MetricRecord({EXAMPLES: measured.weight}),
            CONFIG: ConfigRecord(dict(who)),
        }
    )


def _asked(content: RecordDict) -> Asked:
    config = content.config_records[CONFIG]
    models = [config.get(model_key(place), b"") for place in range(MOST_MODELS)]
    values = config.get(VALUES_KEY, b"")
    if not all(isinstance(one, bytes) and len(one) <= MOST_MODEL_BYTES for one in models):
        raise WireError("a question's models are none, or too large")
    if not isinstance(values, bytes) or len(values) % 2:
        raise WireError("a question's values are none")
    return Asked(
        Question.decode(config.get(QUESTION)),
        [one for one in models if isinstance(one, bytes) and one],
        np.frombuffer(values, np.float16),
    )


def _unpack(content: RecordDict) -> tuple[TrainOrder, int, NDArray[np.float16]]:
    try:
        config = content.config_records[CONFIG]
        order, round_ = TrainOrder.decode(config[ORDER]), config[ROUND]
        array = content.array_records[ARRAYS][VALUES]
    except KeyError as error:
        raise WireError(f"an order of a round holds no {error}") from error
    if not isinstance(round_, int) or not 0 <= round_ <= MOST_ROUNDS:
        raise WireError(f"an order is of round {round_!r}")
    values = unpacked(array)
    if values.dtype != np.float16:
        raise WireError(f"an order's values are {values.dtype}, float16 was wanted")
    return order, round_, values
