"""What `splitsight cloud certify` says of the gate that it chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from shared.bundles.bundle import Bundle
from shared.certification.certificate import PromiseLimits
from shared.certification.promises import MeasuredShare, Promise, percent

if TYPE_CHECKING:
    from cloud.evaluation.certification import Certified


class CertifyReport(msgspec.Struct, frozen=True):
    """The report of `splitsight cloud certify`.

    id                       of the bundle as it was written
    certificate              as the manifest keeps it
    escalation_rate          share of the pictures; escalation_rate_good: of those of good parts
    pass_rate_good           share of the pictures of good parts that pass at the edge
    system_alpha_supported   where the system's promise can't be made: the least that could be
    """

    bundle: str
    id: str
    certificate: dict[str, Any]
    escalation_rate: float
    escalation_rate_good: float
    pass_rate_good: float
    system_alpha_supported: float | None


def certify_report(written: Bundle, found: Certified) -> CertifyReport:
    """What a program reads."""
    return CertifyReport(
        bundle=str(written.path),
        id=written.id,
        certificate=found.certificate.model_dump(mode="json"),
        escalation_rate=found.escalated,
        escalation_rate_good=found.escalated_good,
        pass_rate_good=found.passed_good,
        system_alpha_supported=found.system_supported,
    )


def certify_rows(written: Bundle, found: Certified, limits: PromiseLimits) -> dict[str, str]:
    """What a person reads: a name and a sentence each."""
    certificate, gate = found.certificate, found.certificate.gate
    escapes, overkill = certificate.edge_escapes, certificate.edge_overkill
    promises = 3 if certificate.system else 2
    rows = {
        "bundle": f"{written.path}, now id {written.id}",
        "tested on": f"{escapes.parts} defective and {overkill.parts} good parts of "
        f"{certificate.data} ({certificate.split}), {certificate.pictures} pictures, on "
        f"{certificate.runtime}",
        "edge escapes": f"at most {percent(escapes.limit)} of defective parts; {_seen(escapes)}",
        "edge overkill": f"at most {percent(overkill.limit)} of good parts; {_seen(overkill)}",
        **_system_rows(found, limits),
        "confidence": f"{percent(1 - limits.delta)} in each promise on its own, at least "
        f"{percent(max(0.0, 1 - promises * limits.delta))} in all {promises} at once",
        "gate": f"pass below {gate.pass_below:.4g}, reject from {gate.reject_from:.4g}; in the "
        f"cloud reject from {gate.cloud_reject_from:.4g}",
        "escalated": f"{percent(found.escalated)} of these pictures; of those of good parts "
        f"{percent(found.escalated_good)}, while {percent(found.passed_good)} pass at the edge",
    }
    if found.passed_good == 0:
        rows["note"] = "the edge passes no good part: some defective part scores lower than all"
    return rows


def _system_rows(found: Certified, limits: PromiseLimits) -> dict[str, str]:
    system, least = found.certificate.system, found.system_supported
    if system is None:
        return {
            "system escapes": "NO PROMISE. These parts can't show that edge and cloud together "
            f"pass at most {percent(limits.system)} of defective parts"
            + (f"; --system-alpha {least:g} could be promised" if least else "")
        }
    overkill = system.overkill
    return {
        "system escapes": f"at most {percent(system.escapes.limit)} of defective parts, edge and "
        f"cloud together; {_seen(system.escapes)}",
        "system overkill": f"not promised; {_seen(overkill)}, {percent(1 - limits.delta)} "
        f"interval {percent(overkill.low)} to {percent(overkill.high)}",
    }


def _seen(counted: Promise | MeasuredShare) -> str:
    return f"seen in {counted.seen} of {counted.parts}"
