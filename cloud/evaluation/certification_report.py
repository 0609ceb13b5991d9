"""What `splitsight cloud certify` says of the gate that it chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from shared.bundles.bundle import Bundle
from shared.certification.promises import (
    MeasuredShare,
    Promise,
    in_words,
    left_to_person,
    percent,
)
from shared.errors import CertificateError

if TYPE_CHECKING:
    from cloud.evaluation.certification import Certified


class CertifyReport(msgspec.Struct, frozen=True):
    """The report of `splitsight cloud certify`.

    id                      of the bundle as it was written
    certificate             as the manifest keeps it
    escalation_rate         share of the pictures; escalation_rate_good: of those of good parts
    pass_rate_good          share of the pictures of good parts that pass at the edge
    auroc_edge              among escalated pictures; auroc_system: of edge and cloud together.
                            null where these are all good or all defective
    cloud_pays              whether a part costs less with the cloud than with the edge alone
    novel_share             share of these parts that look unlike anything that the network was
                            shown; null where nothing looks for them
    """

    bundle: str
    id: str
    certificate: dict[str, Any]
    escalation_rate: float
    escalation_rate_good: float
    pass_rate_good: float
    auroc_edge: float | None
    auroc_system: float | None
    cloud_pays: bool
    novel_share: float | None = None


def certify_report(written: Bundle, found: Certified) -> CertifyReport:
    """What a program reads."""
    novelty = found.certificate.novelty
    return CertifyReport(
        bundle=str(written.path),
        id=written.id,
        certificate=found.certificate.model_dump(mode="json"),
        escalation_rate=found.escalated,
        escalation_rate_good=found.escalated_good,
        pass_rate_good=found.passed_good,
        auroc_edge=found.unsure.auroc_edge,
        auroc_system=found.unsure.auroc_system,
        cloud_pays=found.cloud_pays,
        novel_share=novelty.seen / novelty.parts if novelty else None,
    )


def certify_rows(written: Bundle, found: Certified) -> dict[str, str]:
    """What a person reads: a name and a sentence each."""
    certificate, gate = found.certificate, found.certificate.gate
    system, review = certificate.system, certificate.review
    if system is None or review is None:
        raise CertificateError(
            f"the certificate of {written.path} is not of the whole system",
            fix="certify the bundle again",
        )
    escapes, overkill = system.escapes, certificate.edge_overkill
    sure = percent(1 - certificate.delta)
    rows = {
        "bundle": f"{written.path}, now id {written.id}",
        "tested on": f"{escapes.parts} defective and {overkill.parts} good parts of "
        f"{certificate.data} ({certificate.split}), {certificate.pictures} pictures, on "
        f"{certificate.runtime}",
        "escapes": f"at most {percent(escapes.limit)} of defective parts pass; {_seen(escapes)}",
        "false rejects": f"at most {percent(overkill.limit)} of good parts are rejected without a "
        f"person; {_seen(system.overkill)}",
        "confidence": f"{sure} in each promise on its own, at least "
        f"{percent(max(0.0, 1 - 2 * certificate.delta))} in both at once",
        "to review": f"{left_to_person(review)}. A part costs {review.cost_with_cloud:.3g} beside "
        f"{review.cost_without_cloud:.3g} reviewed parts",
        "novel": _novel(found),
        "gate": in_words(gate),
        "escalated": f"{percent(found.escalated)} of these pictures; of those of good parts "
        f"{percent(found.escalated_good)}, while {percent(found.passed_good)} pass at the edge",
    }
    edge, both = found.unsure.auroc_edge, found.unsure.auroc_system
    if edge is not None and both is not None:
        rows["AUROC"] = (
            f"among those that the edge is not sure of: edge {edge:.3f}, edge and cloud {both:.3f}"
        )
    notes = _notes(found)
    return rows | ({"note": "; ".join(notes)} if notes else {})


def _novel(found: Certified) -> str:
    novelty = found.certificate.novelty
    if novelty is None:
        return f"nothing looks for parts unlike anything seen: {found.left_out}"
    return (
        f"at most {percent(novelty.share)} of parts like these, on average, look like nothing that "
        f"the network was shown and go to review; here {novelty.seen} of {novelty.parts}"
        + (f"; the limit is as it was: {found.left_out}" if found.left_out else "")
    )


def _notes(found: Certified) -> list[str]:
    notes = []
    if found.passed_good == 0:
        notes.append("the edge passes no good part: some defective part scores lower than all")
    review = found.certificate.review
    dearer = review is not None and review.cost_with_cloud > review.cost_without_cloud
    if dearer or (found.certificate.gate.escalates and not found.cloud_pays):
        notes.append(
            "the cloud does not help here: escalating costs more than it saves. Certify with "
            "--edge-only, on parts that have not chosen yet, or with half of --delta"
        )
    return notes


def _seen(counted: Promise | MeasuredShare) -> str:
    return f"seen in {counted.seen} of {counted.parts}"
