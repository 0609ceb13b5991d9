"""The rounds' result → a candidate bundle: calibrated, certified and compared without a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from fleet.rounds.candidates.candidate_store import CandidateStore
from fleet.rounds.candidates.certification import CandidateGate, choose_gate, spec_of
from fleet.rounds.candidates.comparison import FleetComparison, compare, loss
from fleet.rounds.candidates.model_files import ModelFiles, check_base, check_parity
from fleet.rounds.candidates.system_promise import CandidateHalves
from fleet.rounds.configuration.settings import ReleaseSettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.coordination.result import RunResult
from fleet.rounds.report.findings import NO_GATE, CandidateRecord, RunFindings, sites_of
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import HEAD
from shared.clock import Clock, SystemClock
from shared.errors import SplitsightError
from shared.federation.protocol import Scope
from shared.log import get_logger

log = get_logger("rounds")

BUNDLE = "bundle"


def make_candidate(
    result: RunResult,
    answers: Callable[[], DeviceAnswers],
    release: ReleaseSettings,
    clock: Clock | None = None,
) -> tuple[CandidateRecord, RunFindings]:
    """Ask the devices, write the bundle and the report, and put both into the store.

    What stands against the candidate is told in its record; only what makes a report impossible
    is raised: FederationError where no device is there or the candidate was decided on already,
    BundleError for a bundle that is none.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    present = Bundle.open(release.bundle)
    check_base(present, result.base)
    candidate = _Candidate(result, result.findings, answers(), present, release)
    store = CandidateStore(release.candidates)
    store.reserve(candidate.name)
    try:
        candidate.build(store)
    except SplitsightError as error:
        log.warning("candidate_failed", reason=error.message)
        candidate.reasons.append(error.message)
    findings = candidate.findings((clock.monotonic() - started) / 60)
    record = candidate.record()
    store.put(record, findings)
    return record, findings


@dataclass(slots=True)
class _Candidate:
    """One candidate in the making: what is known of it so far.

    rounds   what the rounds alone tell
    """

    result: RunResult
    rounds: RunFindings
    answers: DeviceAnswers
    present: Bundle
    release: ReleaseSettings
    gate: CandidateGate | None = None
    compared: FleetComparison | None = None
    bundle: str = ""
    reasons: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        return self.release.version or next_version(self.present.manifest.version)

    @property
    def name(self) -> str:
        return f"{self.present.manifest.name}-{self.version}-{self.rounds.run[:8]}"

    def build(self, store: CandidateStore) -> None:
        """Raises SplitsightError where there can be no bundle."""
        manifest = self.present.manifest
        before = manifest.gate.gate
        files = ModelFiles.of(self.result, self.answers, self.present)
        halves = CandidateHalves(
            files.head,
            files.tail,
            files.tables.to_json(),
            manifest.features,
            # Nothing shows that the devices' parts did not choose the tail's weight when the bundle
            # was made: it knows pictures by the bytes of files, and devices have no such files.
            manifest.training.tail_weights,
        )
        self.gate = choose_gate(
            self.answers,
            halves,
            before,
            self.release.promise,
            created=self.rounds.created,
            run=self.rounds.run,
        )
        heads = (self.present.read(HEAD), files.head)
        self.compared = compare(self.answers, heads, (before, self.gate.gate))
        fields = self._manifest(self.gate, self.compared)
        path = store.folder(self.name) / BUNDLE
        check_parity(write_bundle(path, fields, files.beside(self.present)))
        self.bundle = BUNDLE

    def _manifest(self, gate: CandidateGate, compared: FleetComparison) -> dict[str, object]:
        manifest, terms, rounds = self.present.manifest, self.result.terms, self.rounds.rounds
        took = sorted({one.device for record in rounds for one in record.took_part})
        fields = manifest.model_dump(exclude={"files", "certificate", "leakage"})
        auroc = compared.after.auroc
        fields["training"] = {
            **fields["training"],
            "data": f"{len(took)} devices' own labels, after {manifest.training.data}",
            "data_hash": gate.data_hash,
            "options": {
                "parent": self.present.id,
                "round": len(rounds),
                "run": terms.run,
                "strategy": terms.strategy,
                "base": terms.base,
                "participants": took,
                "examples": sum(record.examples for record in rounds),
            },
            "metrics": {"test_edge_auroc": auroc} if auroc else {},
        }
        return {
            **fields,
            "version": self.version,
            "created": self.rounds.created,
            "gate": spec_of(gate.gate),
            "certificate": gate.certificate,
        }

    def findings(self, minutes: float) -> RunFindings:
        """The report; whatever stands against the candidate is among `reasons` from now on."""
        compared, gate, rounds, answers = self.compared, self.gate, self.rounds, self.answers
        single = compared.single if compared else {}
        lost = {name: loss(one, self.release) for name, one in single.items()}
        sites = sites_of(rounds.rounds, single, lost)
        self.reasons += [f"{one.device}: {one.lost}" for one in sites if one.lost]
        if compared and not any(one.good + one.defective for one in single.values()):
            self.reasons.append("no device holds out parts to compare it by")
        sent = answers.messaging
        doubt = [f"Look at this first: {gate.doubt}."] if gate and gate.doubt else []
        return msgspec.structs.replace(
            rounds,
            name=self.name,
            parent=self.present.id,
            bundle=self.bundle,
            sites=sites,
            before=compared.before if compared else None,
            after=compared.after if compared else None,
            aside=answers.aside,
            seen=[*dict.fromkeys([*rounds.seen, *answers.seen])],
            bytes_down=rounds.bytes_down + max(sent.bytes_down.values(), default=0),
            bytes_up=rounds.bytes_up + max(sent.bytes_up.values(), default=0),
            minutes=rounds.minutes + minutes,
            certified=bool(gate and gate.certificate),
            certificate=gate.statement if gate else NO_GATE,
            system=gate.system if gate else "",
            gate=gate.origin if gate else "",
            reasons=self.reasons,
            remarks=[*remarks_of(self.result.order.scope, rounds.epsilon), *doubt],
        )

    def record(self) -> CandidateRecord:
        return CandidateRecord(
            name=self.name,
            status="refused" if self.reasons else "candidate",
            bundle=self.bundle,
            created=self.rounds.created,
            run=self.rounds.run,
            reasons=self.reasons,
            certified=bool(self.gate and self.gate.certificate),
            doubt=self.gate.doubt if self.gate else "",
        )


def next_version(version: str) -> str:
    """The present version, its last of three numbers raised by one."""
    numbers = [*map(int, version.split(".")), 0, 0][:3]
    return ".".join(str(n) for n in (*numbers[:2], numbers[2] + 1))


def remarks_of(scope: Scope, epsilon: float | None) -> list[str]:
    """What numbers do not say.

    epsilon   of the training; None where no noise was added
    """
    found = []
    if scope.normalisation == "local" or scope.judgement == "local":
        found.append(
            "Layers that stayed with each device are in the bundle as they were in the base "
            "network; what devices have learned in them is not."
        )
    if epsilon is not None:
        found.append(
            "ε covers the training. The sums and numbers for calibration, certificate and "
            "comparison carry no noise and are not in it."
        )
    return found
