"""How far a gate may be moved and still keep what its bundle promises."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from shared.bundles.bundle import Bundle
from shared.bundles.scores import ScoredParts
from shared.certification.certificate import interval
from shared.certification.gate import Gate
from shared.certification.prices import Prices, cost_of
from shared.certification.promises import Certificate, GateSpec, MeasuredShare, Promise
from shared.certification.thresholds import (
    SystemChoice,
    SystemLimits,
    choose_thresholds,
)

Ground = Literal["tested", "certified", "nothing"]
NO_PASS, NO_REJECT = 0.0, 1.0


@dataclass(frozen=True, slots=True)
class PromiseRange:
    """A gate with these thresholds, or more careful ones, keeps the promise: both to pass no
    higher, both to reject no lower.

    ground     `tested`: the certificate's test again, on the scores that it was made of;
               `certified`: those scores are not here, so what was certified is the limit;
               `nothing`: there is no promise that could be kept
    escape, false_reject, delta   what is promised
    """

    ground: Ground
    pass_below: float = NO_PASS
    cloud_pass_below: float = NO_PASS
    reject_from: float = NO_REJECT
    cloud_reject_from: float = NO_REJECT
    escape: float | None = None
    false_reject: float | None = None
    delta: float = 0.05

    def holds(self, gate: Gate) -> bool:
        """Whether the gate keeps the promise."""
        return self.ground != "nothing" and not self.broken_by(gate)

    def broken_by(self, gate: Gate) -> list[str]:
        """The thresholds that reach too far, by their names in the gate."""
        cloud_pass = (
            gate.cloud_reject_from if gate.cloud_pass_below is None else gate.cloud_pass_below
        )
        too_far = {
            "pass_below": gate.pass_below > self.pass_below,
            "reject_from": gate.reject_from < self.reject_from,
            "cloud_pass_below": gate.escalates and cloud_pass > self.cloud_pass_below,
            "cloud_reject_from": gate.escalates and gate.cloud_reject_from < self.cloud_reject_from,
        }
        return [name for name, broken in too_far.items() if broken]


def promise_range(bundle: Bundle) -> PromiseRange:
    """What a bundle's certificate leaves room for. Raises BundleError for broken scores."""
    certificate = bundle.manifest.certificate
    # Only this test counts a part where either half errs; after another one it may not be moved.
    if certificate is None or certificate.escape is None or certificate.false_reject is None:
        return PromiseRange("nothing")
    promised = {
        "escape": certificate.escape,
        "false_reject": certificate.false_reject,
        "delta": certificate.delta,
    }
    chosen = chosen_again(bundle)
    if chosen is not None:
        return PromiseRange(
            "tested",
            pass_below=chosen.passing.edge,
            cloud_pass_below=chosen.passing.cloud,
            reject_from=chosen.rejecting.edge,
            cloud_reject_from=chosen.rejecting.cloud,
            **promised,
        )
    gate = certificate.gate.gate
    if not gate.escalates:
        return PromiseRange(
            "certified", pass_below=gate.pass_below, reject_from=gate.reject_from, **promised
        )
    passes = gate.cloud_pass_below
    return PromiseRange(
        "certified",
        pass_below=gate.pass_below,
        cloud_pass_below=gate.cloud_reject_from if passes is None else passes,
        reject_from=gate.reject_from,
        cloud_reject_from=gate.cloud_reject_from,
        **promised,
    )


def chosen_again(bundle: Bundle) -> SystemChoice | None:
    """The certificate's own test, run again on the scores that it was made of.

    None where they are not there, or do not give what the certificate says.
    """
    certificate, tested = bundle.manifest.certificate, bundle.tested
    if certificate is None or tested is None:
        return None
    return _test(certificate, tested)


def _test(certificate: Certificate, tested: ScoredParts) -> SystemChoice | None:
    system, gate = certificate.system, certificate.gate.gate
    if certificate.escape is None or certificate.false_reject is None:
        return None
    if tested.tail_weight != gate.tail_weight:
        return None
    limits = SystemLimits(certificate.escape, certificate.false_reject, certificate.delta)
    compared = system.weights_compared if system else 1
    said = (certificate.edge_escapes.counted, certificate.edge_overkill.counted)
    # A gate that asks no cloud may come of either: the cheaper one, or a site that has none.
    for with_cloud in (True, False) if not gate.escalates else (True,):
        found = choose_thresholds(
            tested.kinds,
            limits,
            replace(gate, cloud_pass_below=None),
            weights_compared=compared,
            with_cloud=with_cloud,
        )
        if found and (found.passing.counted, found.rejecting.counted) == said:
            return found
    return None


def certificate_of(bundle: Bundle, gate: Gate, prices: Prices) -> Certificate | None:
    """The bundle's promise for another gate that keeps it, with what that one does to the tested
    parts; None where it breaks it, or where those parts' scores are not here.
    """
    certificate, tested = bundle.manifest.certificate, bundle.tested
    allowed = promise_range(bundle)
    if certificate is None or tested is None or allowed.ground != "tested":
        return None
    if not allowed.holds(gate):
        return None
    defective, good = tested.kinds
    delta, system, review = certificate.delta, certificate.system, certificate.review

    def passing(before: Promise, *, with_cloud: bool) -> Promise:
        seen = defective.passed(gate, with_cloud=with_cloud)
        return before.model_copy(update={"seen": seen})

    overkill = good.rejected(gate, with_cloud=False)
    reviewed = defective.parts_reviewed(gate) + good.parts_reviewed(gate)
    parts = defective.parts + good.parts
    if system is not None:
        rejected = good.rejected(gate, with_cloud=gate.escalates)
        changes: dict[str, Any] = {
            "escapes": passing(system.escapes, with_cloud=gate.escalates),
            "overkill": _measured(rejected, good.parts, delta),
        }
        system = system.model_copy(update=changes)
    if review is not None:
        each = float(tested.encoded.mean())
        changes = {
            "with_cloud": _measured(reviewed, parts, delta),
            "cost_with_cloud": cost_of(gate, tested.kinds, prices, each),
        }
        review = review.model_copy(update=changes)
    return certificate.model_copy(
        update={
            "gate": GateSpec(**asdict(gate)),
            "edge_escapes": passing(certificate.edge_escapes, with_cloud=False),
            "edge_overkill": certificate.edge_overkill.model_copy(update={"seen": overkill}),
            "system": system,
            "review_share": reviewed / parts,
            "review": review,
        }
    )


def _measured(seen: int, parts: int, delta: float) -> MeasuredShare:
    low, high = interval(seen, parts, delta)
    return MeasuredShare(seen=seen, parts=parts, low=low, high=high)
