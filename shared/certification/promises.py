"""A gate's certificate as the manifest keeps it: what is promised, and for what it holds."""

from __future__ import annotations

from pydantic import Field

from shared.certification.gate import Gate
from shared.settings import Settings

SHA256 = "^[0-9a-f]{64}$"
PAIR = "^[0-9a-f]{16}$"


class GateSpec(Settings):
    """The gate's thresholds; see `shared.certification.gate.Gate`."""

    pass_below: float
    reject_from: float
    cloud_reject_from: float
    tail_weight: float = Field(1.0, ge=0, le=1, description="of the tail's score in the cloud's")
    cloud_pass_below: float | None = Field(
        default=None, description="from here to cloud_reject_from a person looks; null: nobody does"
    )
    escalates: bool = Field(
        default=True, description="false: a person looks at what the head is not sure of"
    )

    @property
    def gate(self) -> Gate:
        return Gate(**self.model_dump())


class Promise(Settings):
    """A share of parts that is not exceeded, with confidence 1 − delta on its own.

    limit    the share that is promised
    seen     how many of the `parts` that it was tested on exceeded the gate's thresholds
    counted  how many the test counted; more than seen where choosing has to be paid for
    """

    limit: float = Field(gt=0, lt=1)
    seen: int = Field(ge=0)
    counted: int = Field(ge=0)
    parts: int = Field(gt=0)


class MeasuredShare(Settings):
    """A share of parts as it was found, with the exact interval of confidence 1 − delta.

    It describes; it promises nothing, since the thresholds were chosen on the same parts.
    """

    seen: int = Field(ge=0)
    parts: int = Field(gt=0)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class SystemCertificate(Settings):
    """What edge and cloud together promise, where both hold the bundle's pair and gate.

    escapes    of defective parts; overkill: of good parts
    cap_bytes  of an escalation's features, beyond which they are sent coarser
    """

    escapes: Promise
    overkill: MeasuredShare
    pair: str = Field(pattern=PAIR)
    cap_bytes: int = Field(gt=0)
    weights_compared: int = Field(
        ge=1, description="tail weights among which the same parts chose; they share delta"
    )


class ReviewShares(Settings):
    """Parts that a person must look at, as found on the tested parts.

    with_cloud      by the gate as it is
    without_cloud   by the edge's thresholds that keep the same promises where there is no cloud,
                    `pass_below` and `reject_from`; these parts were looked at again for it, so
                    it promises nothing
    cost            of a picture at the prices of the choice, in reviewed parts; alike
    """

    with_cloud: MeasuredShare
    without_cloud: MeasuredShare
    pass_below: float
    reject_from: float
    cost_with_cloud: float = Field(ge=0)
    cost_without_cloud: float = Field(ge=0)


class NoveltyShare(Settings):
    """How often a part like those that were tested looks like nothing that the network was shown.

    Such a part is given to a person, whatever its scores say: what is promised holds as before.
    share   at most so many of them do, on average over sets of parts
    seen    how many of the `parts` did, which set the limit
    """

    share: float = Field(gt=0, lt=1)
    seen: int = Field(ge=0)
    parts: int = Field(gt=0)


class Certificate(Settings):
    """What the gate promises of parts like those that it was tested on.

    Each promise holds with confidence 1 − delta on its own; all of them at once with at least
    1 − 3 delta (union bound). A part of several pictures counts as soon as one of them does.

    edge_escapes   of defective parts; edge_overkill: of good parts
    head, gate     for which it holds: the head's sha256, and the thresholds
    """

    # What a certificate of two verdicts, or of what federated rounds end in, leaves out.
    escape: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="of defective parts, that pass",
    )
    false_reject: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="of good parts, that are rejected unseen",
    )
    n_defects: int | None = Field(default=None, description="defective parts that were tested")
    n_good: int | None = Field(default=None, description="good parts that were tested")
    review_share: float | None = Field(
        default=None, ge=0, le=1, description="parts of these that a person must look at"
    )
    review: ReviewShares | None = None
    novelty: NoveltyShare | None = Field(
        default=None, description="null: nothing looks for parts unlike anything seen"
    )

    delta: float = Field(gt=0, lt=1)
    edge_escapes: Promise
    edge_overkill: Promise
    system: SystemCertificate | None
    head: str = Field(pattern=SHA256)
    gate: GateSpec
    runtime: str = Field(description="the backend whose scores were tested")
    data: str
    data_hash: str = Field(pattern=SHA256, description="of the tested pictures and their labels")
    split: str
    pictures: int = Field(gt=0)
    method: str
    created: str

    def holding(self, head: str, pair: str, cap_bytes: int, gate: GateSpec) -> Certificate | None:
        """What is left of the certificate in a bundle of this head, pair, cap and gate."""
        edge = (self.head, self.gate.pass_below, self.gate.reject_from)
        if edge != (head, gate.pass_below, gate.reject_from):
            return None
        system = self.system
        if system and (system.pair, system.cap_bytes, self.gate) != (pair, cap_bytes, gate):
            return self.model_copy(update=dict.fromkeys(_OF_THE_SYSTEM))
        return self


_OF_THE_SYSTEM = (
    *("system", "escape", "false_reject", "n_defects", "n_good"),
    *("review_share", "review", "novelty"),
)


def in_words(gate: GateSpec) -> str:
    """Every threshold, in one plain sentence."""
    edge = f"pass below {gate.pass_below:.4g}, reject from {gate.reject_from:.4g}"
    if not gate.escalates:
        return f"{edge}; a person looks at what lies between"
    cloud = f"in the cloud, tail weighing {gate.tail_weight:.0%}, "
    if gate.cloud_pass_below is not None:
        cloud += f"pass below {gate.cloud_pass_below:.4g}, "
    return f"{edge}; {cloud}reject from {gate.cloud_reject_from:.4g}"


def left_to_person(review: ReviewShares) -> str:
    """What a person must look at, with and without the cloud."""
    return f"{_share(review.with_cloud)}; with the edge alone {_share(review.without_cloud)}"


def _share(found: MeasuredShare) -> str:
    return (
        f"{percent(found.seen / found.parts)} of the parts ({percent(found.low)} to "
        f"{percent(found.high)})"
    )


def describe(certificate: Certificate | None) -> str:
    """The promises in one plain sentence."""
    if certificate is None:
        return "no certificate"
    escapes, overkill = certificate.edge_escapes, certificate.edge_overkill
    system = certificate.system
    tested = (
        f"each with {percent(1 - certificate.delta)} confidence, tested on {escapes.parts} "
        f"defective and {overkill.parts} good parts of {certificate.data} "
        f"({certificate.created[:10]})."
    )
    if certificate.escape and certificate.false_reject and certificate.review_share is not None:
        return (
            f"At most {percent(certificate.escape)} of defective parts pass, and at most "
            f"{percent(certificate.false_reject)} of good parts are rejected without a person; "
            f"{tested} Of those parts {percent(certificate.review_share)} went to review."
            f"{_novelty_told(certificate.novelty)}"
        )
    return (
        f"At most {percent(escapes.limit)} of defective parts pass at the edge, "
        + (
            f"at most {percent(system.escapes.limit)} pass edge and cloud together, "
            if system
            else ""
        )
        + f"and at most {percent(overkill.limit)} of good parts are rejected at the edge"
        + ("" if system else "; of edge and cloud together nothing is promised")
        + f"; {tested}"
    )


def _novelty_told(novelty: NoveltyShare | None) -> str:
    if novelty is None:
        return ""
    return (
        " A part unlike anything that the network was shown goes to review too: "
        f"of parts like those at most {percent(novelty.share)} on average."
    )


def percent(share: float) -> str:
    """A share for people: three digits, or as many as keep it from seeming to be all."""
    digits = 3 if share < 0.995 else 4
    return f"{share * 100:.{digits}g} %"
