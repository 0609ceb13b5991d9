"""The candidate's gate, from counts that devices made on parts that they keep from training."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace

import numpy as np

from fleet.rounds.candidates.system_promise import (
    CandidateHalves,
    EdgeGate,
    choose_system_gate,
)
from fleet.rounds.configuration.settings import PromiseSettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from shared.certification.certificate import METHOD, PromiseLimits
from shared.certification.gate import Gate
from shared.certification.promises import Certificate, GateSpec, Promise, describe
from shared.certification.shortage import Erring, too_few
from shared.certification.tally import LENGTH, ScoreTally
from shared.errors import FederationError
from shared.federation.questions import Question

ESCAPE_TARGET, OVERKILL_TARGET = 0.04, 0.02
OPTIONS = ("release.promise.escapes", "release.promise.overkill")
RUNTIME = "onnx"
CERTIFIED = "certified"
EDGE_CERTIFIED = "the edge's certified, the cloud's as in the present bundle"
NOT_ASKED = "nothing is promised, as nothing can be of the edge; no device was sent the tail"


@dataclass(frozen=True, slots=True)
class CandidateGate:
    """A gate, and what is promised of it.

    certificate   None where nothing can be promised
    statement     the promise in a sentence, or why there is none
    origin        where the thresholds come from
    system        what is told of edge and cloud together
    doubt         why a person should look before it goes out; empty where there is no reason to
    """

    gate: Gate
    certificate: Certificate | None
    statement: str
    origin: str
    data_hash: str
    system: str
    doubt: str = ""


def choose_gate(
    answers: DeviceAnswers,
    halves: CandidateHalves,
    before: Gate,
    promise: PromiseSettings,
    *,
    created: str,
    run: str,
) -> CandidateGate:
    """Certified where the summed parts suffice, else by plain targets, else as it was before.

    Of edge and cloud together something is promised only where it is of the edge, too.
    Raises FederationError where the edge's counts can't be had.
    """
    summed = answers.counted(Question("tally", "calibrate"), (halves.head,), LENGTH)
    tally = ScoreTally.read(np.asarray(summed.total, np.int64))
    data_hash = hashlib.sha256(tally.flat().astype("<i8").tobytes()).hexdigest()
    limits = promise.limits
    found = tally.gate(limits)
    if found is None:
        return _without(tally, before, limits, data_hash)
    edge = replace(before, pass_below=found.pass_below, reject_from=found.reject_from)
    together = choose_system_gate(answers, halves, EdgeGate(tally, edge, limits, summed.devices))
    gate = together.gate
    certificate = Certificate(
        delta=limits.delta,
        edge_escapes=Promise(
            limit=limits.escapes,
            seen=tally.defective.passed_by(gate),
            counted=found.escapes.counted,
            parts=tally.defective.parts,
        ),
        edge_overkill=Promise(
            limit=limits.overkill,
            seen=tally.good.rejected_by(gate),
            counted=found.overkill.counted,
            parts=tally.good.parts,
        ),
        system=together.certificate,
        head=hashlib.sha256(halves.head).hexdigest(),
        gate=spec_of(gate),
        runtime=RUNTIME,
        data=f"{len(summed.devices)} devices' own parts, counted in run {run[:12]}",
        data_hash=data_hash,
        split="calibrate",
        pictures=tally.pictures,
        method=f"{METHOD}; counts summed over devices",
        created=created,
    )
    return CandidateGate(
        gate=gate,
        certificate=certificate,
        statement=describe(certificate),
        origin=CERTIFIED if together.certificate else EDGE_CERTIFIED,
        data_hash=data_hash,
        system=together.statement,
        doubt=together.doubt,
    )


def _without(
    tally: ScoreTally, before: Gate, limits: PromiseLimits, data_hash: str
) -> CandidateGate:
    lacking = too_few(
        Erring(tally.defective.parts, tally.defective.passed_by(before)),
        Erring(tally.good.parts, tally.good.rejected_by(before)),
        limits,
        OPTIONS,
    )
    statement = f"{lacking.message}\n  {lacking.fix}"
    try:
        gate = tally.plain_gate(before, ESCAPE_TARGET, OVERKILL_TARGET)
    except FederationError as error:
        origin = f"as in the present bundle: {error.message}"
        return CandidateGate(before, None, statement, origin, data_hash, NOT_ASKED)
    origin = (
        f"{ESCAPE_TARGET:.0%} escapes and {OVERKILL_TARGET:.0%} overkill at most on the devices' "
        "calibration parts; a target, no promise"
    )
    return CandidateGate(gate, None, statement, origin, data_hash, NOT_ASKED)


def spec_of(gate: Gate) -> GateSpec:
    return GateSpec(**asdict(gate))
