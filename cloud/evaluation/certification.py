"""A bundle and parts that it has not seen → a gate with a certificate, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import known
from cloud.evaluation.judgements import Judgements, judge
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, TRAINED, TUNED
from shared.bundles.runtime_choice import choose_runtime
from shared.certification.certificate import METHOD, ChosenGate, PromiseLimits, choose, interval
from shared.certification.gate import Gate
from shared.certification.promises import (
    Certificate,
    GateSpec,
    MeasuredShare,
    Promise,
    SystemCertificate,
)
from shared.certification.scores import Scored, by_kind
from shared.certification.shortage import Erring, system_supported, too_few
from shared.errors import CertificateError
from shared.runtime.base import RuntimeOptions


@dataclass(frozen=True, slots=True)
class JudgedParts:
    """Judged parts. One is defective where any of its pictures is labelled so."""

    defective: Scored
    good: Scored

    @classmethod
    def of(cls, dataset: Dataset, judged: Judgements) -> JudgedParts:
        names, part = np.unique(dataset.parts, return_inverse=True)
        defective = np.zeros(len(names), bool)
        defective[part[dataset.labels]] = True
        return cls(*by_kind(np.asarray(part, np.intp), defective, judged.edge, judged.cloud))


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate, and what its gate does with the parts that it was tested on.

    escalated         share of the pictures; escalated_good: of those of good parts
    passed_good       share of the pictures of good parts that pass at the edge
    system_supported  the least that could be promised of the system, where that was too much
    """

    certificate: Certificate
    escalated: float
    escalated_good: float
    passed_good: float
    system_supported: float | None


def certify(
    bundle: Bundle,
    dataset: Dataset,
    limits: PromiseLimits,
    *,
    split: str,
    created: str,
    runtime: str = "auto",
) -> Certified:
    """Judge the parts of a split (`dataset` holds only those) and choose the gate by them.

    created   UTC, as the manifest keeps it
    Raises CertificateError where a part was trained on or nothing shows that none was, and
    TooFewParts where the edge's promises can't be made.
    """
    refuse_trained(bundle, dataset)
    compared = weights_compared(bundle, dataset)
    # The backend is a part of what is certified: another one's scores differ a little.
    head = choose_runtime(runtime, bundle.read(HEAD), RuntimeOptions(threads=0)).runtime
    parts = JudgedParts.of(dataset, judge(bundle, dataset, head.name))
    before = bundle.manifest.gate.gate
    chosen = choose(parts.defective, parts.good, limits, before, compared)
    if chosen is None:
        raise too_few(
            Erring(parts.defective.parts, parts.defective.passed(before, with_cloud=False)),
            Erring(parts.good.parts, parts.good.rejected(before, with_cloud=False)),
            limits,
        )
    edge_escapes, edge_overkill = _edge_promises(parts, limits, chosen)
    certificate = Certificate(
        delta=limits.delta,
        edge_escapes=edge_escapes,
        edge_overkill=edge_overkill,
        system=_system(bundle, parts, limits, chosen, compared),
        head=bundle.manifest.files[HEAD].sha256,
        gate=_spec(chosen.gate),
        runtime=head.name,
        data=dataset.name,
        data_hash=dataset.content_hash(),
        split=split,
        pictures=len(dataset.samples),
        method=METHOD,
        created=created,
    )
    good, defective = (kind.escalated(chosen.gate) for kind in (parts.good, parts.defective))
    return Certified(
        certificate,
        float(np.concatenate([good, defective]).mean()),
        float(good.mean()),
        float((~good & (parts.good.edge < chosen.gate.pass_below)).mean()),
        None if chosen.system else system_supported(parts.defective.parts, limits, compared),
    )


def refuse_trained(bundle: Bundle, dataset: Dataset) -> None:
    """Raises CertificateError where the bundle was trained on a picture of one of these parts.

    A part counts whole: its other pictures show the same thing. Without a list of what a bundle
    was trained on there is no proof, and so no certificate.
    """
    if TRAINED not in bundle.manifest.files:
        raise CertificateError(
            f"{bundle.path.name} has no {TRAINED}: nothing shows that it was not trained on "
            "these parts",
            fix="train it again: this version lists what a bundle was trained on",
        )
    trained = known([sample.image for sample in dataset.samples], bundle.read(TRAINED))
    if not trained.any():
        return
    seen = [s for s, was in zip(dataset.samples, trained, strict=True) if was]
    raise CertificateError(
        f"{bundle.path.name} was trained on {len({s.part for s in seen})} of these "
        f"{len(set(dataset.parts))} parts of {dataset.name}, the first is {seen[0].part} "
        f"({seen[0].image.name})",
        fix="give parts that it has not seen: another --split, or the --seed of its training",
    )


def weights_compared(bundle: Bundle, dataset: Dataset) -> int:
    """Among how many weights of the tail these defective parts have already chosen; 1: they have
    not.

    A bundle that does not say which pictures chose is taken to have asked these. Good parts don't
    matter: none of them is counted in the system's test.
    """
    if TUNED in bundle.manifest.files:
        defective = {sample.part for sample in dataset.samples if sample.defective}
        images = [sample.image for sample in dataset.samples if sample.part in defective]
        if not known(images, bundle.read(TUNED)).any():
            return 1
    return bundle.manifest.training.tail_weights


def _edge_promises(
    parts: JudgedParts, limits: PromiseLimits, chosen: ChosenGate
) -> tuple[Promise, Promise]:
    return (
        Promise(
            limit=limits.escapes,
            seen=parts.defective.passed(chosen.gate, with_cloud=False),
            counted=chosen.escapes.counted,
            parts=parts.defective.parts,
        ),
        Promise(
            limit=limits.overkill,
            seen=parts.good.rejected(chosen.gate, with_cloud=False),
            counted=chosen.overkill.counted,
            parts=parts.good.parts,
        ),
    )


def _system(
    bundle: Bundle, parts: JudgedParts, limits: PromiseLimits, chosen: ChosenGate, compared: int
) -> SystemCertificate | None:
    if chosen.system is None:
        return None
    rejected = parts.good.rejected(chosen.gate, with_cloud=True)
    low, high = interval(rejected, parts.good.parts, limits.delta)
    return SystemCertificate(
        escapes=Promise(
            limit=limits.system,
            seen=parts.defective.passed(chosen.gate, with_cloud=True),
            counted=chosen.system.counted,
            parts=parts.defective.parts,
        ),
        overkill=MeasuredShare(seen=rejected, parts=parts.good.parts, low=low, high=high),
        pair=bundle.manifest.pair,
        cap_bytes=bundle.manifest.features.cap_bytes,
        weights_compared=compared,
    )


def _spec(gate: Gate) -> GateSpec:
    return GateSpec(
        pass_below=gate.pass_below,
        reject_from=gate.reject_from,
        cloud_reject_from=gate.cloud_reject_from,
        tail_weight=gate.tail_weight,
    )
