"""What devices are asked about a network that nobody runs yet, and what they answer.

Everything that a release needs to know of pictures: sums where sums will do, extremes of
activations, and of each device how it fares. A question travels as Flower's message `MEASURE`:
itself under QUESTION, models and values as bytes beside it, and an array as long as the answer.
"""

from __future__ import annotations

from typing import Literal, Self

import msgspec

from shared.certification.gate import Gate
from shared.errors import WireError
from shared.federation.protocol import MOST_PARTS, TrainOrder

MEASURE = "evaluate.measure"
QUESTION, VALUES_KEY, COMPARED, LIKE = "question", "values", "compared", "like"
MOST_MODELS = 2
MOST_MODEL_BYTES = 64 << 20

What = Literal[
    "magnitudes", "moments", "ranges", "shifts", "symbols", "tally", "system", "comparison"
]
Use = Literal["train", "calibrate", "test"]


class Threshold(msgspec.Struct, frozen=True):
    """The edge's half of a gate."""

    pass_below: float
    reject_from: float

    @property
    def gate(self) -> Gate:
        return Gate(self.pass_below, self.reject_from, 0.5)


class TransmissionTerms(msgspec.Struct, frozen=True):
    """How what the first model sends on reaches the second one, and how both are weighed.

    codec, shape   the codec's tables as a bundle keeps them; of the features
    cap_bytes      of the encoded features, beyond which they are sent coarser
    tail_weight    of the second model's score, as in `shared.certification.gate.Gate`
    edge_bin       as in `shared.certification.certificate.edge_bin`
    """

    codec: bytes
    shape: tuple[int, int, int]
    cap_bytes: int
    tail_weight: float
    edge_bin: int


class Question(msgspec.Struct, frozen=True):
    """Asked of every device alike.

    magnitudes   the largest input, channel by channel, of each convolution of the float head
                 (clear)
    moments      means of products of those inputs, each divided by its `scales` (sum)
    ranges       what a measuring model finds, smallest and largest (clear)
    shifts       by how much the first model's scores lie above the second's (sum of counts)
    symbols      how often the first model's features round to each symbol (sum of counts)
    tally        parts over thresholds, of each model (sum of counts)
    system       parts over thresholds of the cloud: head, gate and tail (sum of counts)
    comparison   how the device's own held-out parts fare with each model and its gate (clear)

    use      which of its parts are asked about
    most     pictures of one device; 0: all
    order    with the values beside it: the float network
    limit    of symbols
    gates    of the models, for a comparison; of the head, for the system
    passage  from head to tail, for the system
    """

    what: What
    use: Use
    most: int = 0
    order: TrainOrder | None = None
    scales: list[float] = []
    limit: int = 0
    gates: list[Threshold] = []
    passage: TransmissionTerms | None = None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: object) -> Self:
        """Raises WireError for what is no question."""
        if not isinstance(raw, bytes):
            raise WireError("a message asks nothing")
        try:
            return msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise WireError(f"a question can't be read ({error})") from error


class ModelStanding(msgspec.Struct, frozen=True):
    """How one model and its gate fare with a device's parts.

    auroc      by part; None where one class is absent
    escapes    defective parts that pass; overkill: good parts that are rejected; both at the edge
    escalated  pictures that are sent on
    """

    auroc: float | None
    escapes: int
    overkill: int
    escalated: int


class Comparison(msgspec.Struct, frozen=True):
    """A device's held-out parts, under the present bundle and under the candidate."""

    good: int
    defective: int
    pictures: int
    before: ModelStanding
    after: ModelStanding

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, raw: object) -> Self:
        """Raises WireError for what is none, or can't be."""
        if not isinstance(raw, bytes):
            raise WireError("a device's answer holds no comparison")
        try:
            found = msgspec.json.decode(raw, type=cls)
        except msgspec.MsgspecError as error:
            raise WireError(f"a device's comparison can't be read ({error})") from error
        if not all(0 <= n <= MOST_PARTS for n in (found.good, found.defective, found.pictures)):
            raise WireError("a device's comparison counts what can't be")
        for one in (found.before, found.after):
            fits = 0 <= one.escapes <= found.defective and 0 <= one.overkill <= found.good
            known = one.auroc is None or 0 <= one.auroc <= 1
            if not fits or not known or not 0 <= one.escalated <= found.pictures:
                raise WireError("a device's comparison contradicts itself")
        return found


def model_key(place: int) -> str:
    return f"model-{place}"
