"""Another gate becomes a candidate: a bundle of its own, with who wants it and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from cloud.thresholds.outcome import GateOutcome, outcome_of
from cloud.thresholds.parts import KnownParts
from cloud.thresholds.promise import certificate_of
from shared.bundles.bundle import Bundle, amend_bundle
from shared.certification.gate import Gate
from shared.certification.prices import Prices
from shared.certification.promises import Certificate, GateSpec, describe, in_words
from shared.errors import SettingsError
from shared.plugins.candidates import CandidateShelf, OfferedCandidate, Standing


@dataclass(frozen=True, slots=True)
class GateWish:
    """What somebody asks for.

    version   of the new bundle
    by, why   who, and the reason, which goes with it into the candidate's report
    """

    gate: Gate
    version: str
    by: str
    why: str

    def require_reason(self) -> None:
        """Raises SettingsError where nobody said why."""
        if not self.why.strip():
            raise SettingsError(
                "nobody said why the gate shall be moved", fix="write the reason into `why`"
            )


def offer_gate(
    bundle: Bundle,
    wish: GateWish,
    shelf: CandidateShelf,
    *,
    parts: KnownParts,
    contradictions: list[str],
    created: str,
    prices: Prices,
) -> str:
    """Put a bundle with the wished gate among the fleet's candidates; its name there.

    parts            by which it is compared with the gate as it is
    contradictions   what control parts say against it
    Raises SettingsError without a reason or where nothing would change, BundleError for a version
    that can't be, and what the shelf raises.
    """
    wish.require_reason()
    present = bundle.manifest.gate.gate
    if wish.gate == present:
        raise SettingsError(
            "these are the thresholds that the bundle has", fix="move one before you save"
        )
    certificate = certificate_of(bundle, wish.gate, prices)
    if certificate is not None:
        certificate = certificate.model_copy(update={"created": created})
    before, after = (
        standing_of(outcome_of(parts, gate, prices, 0.05)) for gate in (present, wish.gate)
    )
    offered = OfferedCandidate(
        model=bundle.manifest.name,
        version=wish.version,
        parent=bundle.id,
        by=wish.by,
        why=wish.why.strip(),
        certificate=_promised(bundle, certificate),
        certified=certificate is not None,
        gate=in_words(GateSpec(**asdict(wish.gate))),
        before=before,
        after=after,
        doubt="; ".join(contradictions),
        created=created,
    )
    return shelf.offer(offered, lambda path: _written(bundle, wish, certificate, created, path))


def standing_of(found: GateOutcome) -> Standing:
    """The worst that the parts allow: what the cloud was never asked about counts as an error."""
    return Standing(
        escapes=found.escapes.most,
        overkill=found.false_rejects.most,
        good=found.false_rejects.parts,
        defective=found.escapes.parts,
    )


def next_version(version: str, taken: Collection[str] = ()) -> str:
    """The last of three numbers raised, by one or to the first that is not taken."""
    first, second, third = ([*map(int, version.split(".")), 0, 0])[:3]
    higher = (f"{first}.{second}.{number}" for number in count(third + 1))
    return next(one for one in higher if one not in taken)


def _promised(bundle: Bundle, certificate: Certificate | None) -> str:
    if certificate is not None:
        return describe(certificate)
    if bundle.manifest.certificate is None:
        return "no certificate: the bundle that it was made from has none"
    return (
        "no certificate: with these thresholds nothing shows that the promise of "
        f"{bundle.manifest.name} {bundle.manifest.version} still holds"
    )


def _written(
    bundle: Bundle, wish: GateWish, certificate: Certificate | None, created: str, path: Path
) -> Bundle:
    training = bundle.manifest.training
    lineage = {
        "parent": bundle.id,
        "gate_by": wish.by,
        "gate_why": wish.why.strip(),
        "gate_before": bundle.manifest.gate.model_dump(),
    }
    changes = {
        "version": wish.version,
        "created": created,
        "gate": GateSpec(**asdict(wish.gate)),
        "certificate": certificate,
        "training": training.model_copy(update={"options": {**training.options, **lineage}}),
    }
    return amend_bundle(bundle, changes, path)
