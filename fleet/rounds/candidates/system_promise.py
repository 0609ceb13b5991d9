"""What edge and cloud together promise: counted on the devices, with the tail sent to them once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from fleet.rounds.coordination.device_answers import DeviceAnswers
from shared.bundles.manifest import CODEC, HEAD, TAIL, FeatureSpec, pair_of
from shared.certification.certificate import (
    PromiseLimits,
    Tested,
    edge_bin,
    interval,
    most_allowed,
    paid_at_edge,
)
from shared.certification.gate import Gate
from shared.certification.promises import MeasuredShare, Promise, SystemCertificate, percent
from shared.certification.shortage import system_supported
from shared.certification.system_tally import SYSTEM_LENGTH, SystemTally
from shared.certification.tally import ScoreTally
from shared.errors import FederationError
from shared.federation.parcels import MEBI, MOST
from shared.federation.questions import MOST_MODEL_BYTES, Question, Threshold, TransmissionTerms
from shared.log import get_logger

log = get_logger("rounds")

OPTION = "release.promise.system"


@dataclass(frozen=True, slots=True)
class CandidateHalves:
    """A candidate's files that a promise of the system is about, as its bundle will hold them.

    features          of the present bundle; a candidate's are the same
    weights_compared  among how many weights of the tail the parts that are asked about may have
                      chosen; they share delta
    """

    head: bytes
    tail: bytes
    codec: bytes
    features: FeatureSpec
    weights_compared: int

    @property
    def pair(self) -> str:
        files = {HEAD: self.head, TAIL: self.tail, CODEC: self.codec}
        return pair_of({name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()})

    @property
    def excess(self) -> int:
        """Bytes by which the tail is too large to be sent beside the head; 0: it is not."""
        room = min(MOST_MODEL_BYTES, MOST["order"] - len(self.head) - MEBI)
        return max(0, len(self.tail) - room)


@dataclass(frozen=True, slots=True)
class EdgeGate:
    """The edge's half of a gate, chosen by what `devices` counted together."""

    tally: ScoreTally
    gate: Gate
    limits: PromiseLimits
    devices: Collection[str]

    @property
    def defective(self) -> int:
        return self.tally.defective.parts

    @property
    def bin(self) -> int:
        return edge_bin(self.tally.defective.passing(), self.defective, self.limits)

    @property
    def before(self) -> int:
        """Defective parts before that bin."""
        return int(self.tally.defective.lowest[: self.bin].sum())


@dataclass(frozen=True, slots=True)
class SystemGate:
    """The gate, its cloud's threshold chosen where a promise can be made.

    certificate   None where none can
    statement     in a sentence, with what it cost; or why there is none
    doubt         why a person should look before it goes out; empty where there is no reason to
    """

    gate: Gate
    certificate: SystemCertificate | None
    statement: str
    doubt: str = ""


def choose_system_gate(
    answers: DeviceAnswers, halves: CandidateHalves, edge: EdgeGate
) -> SystemGate:
    """Ask the devices with the tail; whatever stands against a promise is told, not raised."""
    gate, limits = edge.gate, edge.limits
    why = _hopeless(halves, edge)
    if why:
        return SystemGate(gate, None, f"{why}; no device was sent the tail")
    sent = f"the tail, {len(halves.tail) / 1e6:.2f} MB, went to each device once"
    try:
        counts = _counted(answers, halves, edge)
    except FederationError as error:
        log.warning("system_not_promised", reason=error.message)
        return SystemGate(gate, None, f"nothing is promised: {error.message}; {sent}")
    tested = counts.choose(limits, halves.weights_compared)
    if tested is None:
        return SystemGate(gate, None, f"{_unsupported(halves, edge)}; {sent}")
    chosen = _chosen(gate, tested.threshold)
    certificate = _certificate(halves, counts, tested, chosen, limits)
    statement = f"{_statement(certificate, counts, edge)}; {sent}"
    return SystemGate(chosen, certificate, statement, _doubt(certificate, counts, edge))


def _hopeless(halves: CandidateHalves, edge: EdgeGate) -> str:
    """Why no answer of the devices could make the promise; empty where one could."""
    limits = edge.limits
    allowed = most_allowed(edge.defective, limits.system, limits.delta / halves.weights_compared)
    if paid_at_edge(edge.defective, limits) > allowed:
        return _unsupported(halves, edge)
    if halves.excess:
        return (
            f"nothing is promised: the tail has {len(halves.tail) / 1e6:.1f} MB, "
            f"{halves.excess / 1e6:.1f} MB more than can be sent to a device"
        )
    return ""


def _counted(answers: DeviceAnswers, halves: CandidateHalves, edge: EdgeGate) -> SystemTally:
    """Raises FederationError where the counts are not those of the same parts."""
    gate = edge.gate
    passage = TransmissionTerms(
        codec=halves.codec,
        shape=halves.features.shape,
        cap_bytes=halves.features.cap_bytes,
        tail_weight=gate.tail_weight,
        edge_bin=edge.bin,
    )
    gates = [Threshold(gate.pass_below, gate.reject_from)]
    about = Question("system", "calibrate", gates=gates, passage=passage)
    # Who has no counts of the edge needs no tail.
    some = {node: name for node, name in answers.names.items() if name in edge.devices}
    asked = replace(answers, names=some)
    summed = asked.counted(about, (halves.head, halves.tail), SYSTEM_LENGTH)
    if lacking := sorted(set(edge.devices) - set(summed.devices)):
        raise FederationError(f"without counts of {', '.join(lacking)} with the tail")
    found = SystemTally.read(np.asarray(summed.total, np.int64))
    wanted = (edge.defective, edge.tally.good.parts, edge.before)
    if (found.defective, found.good, found.before) != wanted:
        raise FederationError("the devices have counted other parts with the tail than without")
    return found


def _chosen(gate: Gate, passes_below: float) -> Gate:
    """The cloud passes what was tested. Where a person reviews, it rejects no more than before."""
    if gate.cloud_pass_below is None:
        return replace(gate, cloud_reject_from=passes_below)
    rejects_from = max(passes_below, gate.cloud_reject_from)
    return replace(gate, cloud_pass_below=passes_below, cloud_reject_from=rejects_from)


def _certificate(
    halves: CandidateHalves,
    counts: SystemTally,
    tested: Tested,
    chosen: Gate,
    limits: PromiseLimits,
) -> SystemCertificate:
    rejected = counts.rejected_by(chosen.cloud_reject_from)
    low, high = interval(rejected, counts.good, limits.delta)
    return SystemCertificate(
        escapes=Promise(
            limit=limits.system,
            seen=counts.passed_by(tested.threshold),
            counted=tested.counted,
            parts=counts.defective,
        ),
        overkill=MeasuredShare(seen=rejected, parts=counts.good, low=low, high=high),
        pair=halves.pair,
        cap_bytes=halves.features.cap_bytes,
        weights_compared=halves.weights_compared,
    )


def _statement(certificate: SystemCertificate, counts: SystemTally, edge: EdgeGate) -> str:
    escapes, overkill = certificate.escapes, certificate.overkill
    before = counts.rejected_by(edge.gate.cloud_reject_from)
    return (
        f"at most {percent(escapes.limit)} of defective parts pass, seen in {escapes.seen} of "
        f"{escapes.parts}; good parts are rejected, not promised: seen in {overkill.seen} of "
        f"{overkill.parts}, {percent(1 - edge.limits.delta)} interval {percent(overkill.low)} to "
        f"{percent(overkill.high)}; {before} with the cloud's threshold as it was"
    )


def _doubt(certificate: SystemCertificate, counts: SystemTally, edge: EdgeGate) -> str:
    after, before = certificate.overkill.seen, counts.rejected_by(edge.gate.cloud_reject_from)
    if after <= before:
        return ""
    return (
        f"edge and cloud together reject {after} of {counts.good} good parts; with the cloud's "
        f"threshold as it was they would reject {before}"
    )


def _unsupported(halves: CandidateHalves, edge: EdgeGate) -> str:
    least = system_supported(edge.defective, edge.limits, halves.weights_compared)
    return (
        f"nothing is promised: {edge.defective} defective parts can't show that at most "
        f"{percent(edge.limits.system)} pass"
        + (f"; {OPTION} {least:g} could be promised" if least else "")
    )
