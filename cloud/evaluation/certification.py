"""A bundle and parts that it has not seen → a gate with a certificate, or why there is none."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import known
from cloud.datasets.seen_pictures import told_seen, trained_on
from cloud.evaluation.judgements import Judgements, judge
from cloud.evaluation.novelty import fit_novelty, summaries_of_shown
from cloud.evaluation.scorecard import Escalated
from cloud.evaluation.verdicts import unsure_pictures
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, TUNED
from shared.bundles.runtime_choice import choose_runtime
from shared.bundles.scores import ScoredParts
from shared.certification.certificate import interval
from shared.certification.gate import Gate
from shared.certification.prices import Prices, cheaper, cost_of
from shared.certification.promises import (
    Certificate,
    GateSpec,
    MeasuredShare,
    NoveltyShare,
    Promise,
    ReviewShares,
    SystemCertificate,
)
from shared.certification.scores import NovelPictures, Scored, by_kind
from shared.certification.shortage import Erring, system_too_few
from shared.certification.thresholds import (
    METHOD,
    SafeThresholds,
    SystemChoice,
    SystemLimits,
    choose_thresholds,
)
from shared.errors import CertificateError, SettingsError
from shared.features.novelty import USUAL_SHARE, Novelty
from shared.runtime.base import Runtime, RuntimeOptions


@dataclass(frozen=True, slots=True)
class JudgedParts:
    """Judged parts. One is defective where any of its pictures is labelled so."""

    defective: Scored
    good: Scored

    @property
    def kinds(self) -> tuple[Scored, Scored]:
        return self.defective, self.good

    @classmethod
    def of(cls, dataset: Dataset, judged: Judgements) -> JudgedParts:
        names, part = np.unique(dataset.parts, return_inverse=True)
        defective = np.zeros(len(names), bool)
        defective[part[dataset.labels]] = True
        numbers = np.asarray(part, np.intp)
        return cls(*by_kind(numbers, defective, judged.edge, judged.cloud, judged.novel))


@dataclass(frozen=True, slots=True)
class CertificateTerms:
    """What `certify` is asked for.

    with_cloud    False: the site has no cloud, and a person looks at what the edge is not sure of
    tail_weight   fixed before anybody looked at the parts; None: as the bundle has it, which is
                  paid for where these parts have chosen it
    novelty       of parts like these, the share that may look unlike anything that the network
                  was shown, and that a person then reviews; 0: nothing looks for such parts
    Raises SettingsError where that is not a share.
    """

    limits: SystemLimits
    prices: Prices = field(default_factory=Prices)
    with_cloud: bool = True
    tail_weight: float | None = None
    novelty: float = USUAL_SHARE

    def __post_init__(self) -> None:
        if not 0 <= self.novelty < 1:
            raise SettingsError(
                f"the share of novel parts is {self.novelty}",
                fix="it must lie in 0–1; 0.01 is 1 %, and 0 leaves the check out",
            )


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate, and what its gate does with the parts that it was tested on.

    escalated         share of the pictures; escalated_good: of those of good parts
    passed_good       share of the pictures of good parts that pass at the edge
    unsure            the pictures that the edge is not sure of
    novelty           tells what is unlike anything seen, for the bundle; None: `left_out` says why
    tested            the scores that it was tested on, so that the gate can be moved within it
    """

    certificate: Certificate
    escalated: float
    escalated_good: float
    passed_good: float
    unsure: Escalated
    novelty: Novelty | None = None
    left_out: str = ""
    tested: ScoredParts | None = None

    @property
    def cloud_pays(self) -> bool:
        """Whether the cloud makes a part cost less than the edge alone would."""
        review = self.certificate.review
        return review is None or review.cost_with_cloud < review.cost_without_cloud


def certify(
    bundle: Bundle,
    dataset: Dataset,
    terms: CertificateTerms,
    *,
    split: str,
    created: str,
    shown: Dataset | None = None,
    runtime: str = "auto",
) -> Certified:
    """Judge the parts of a split (`dataset` holds only those) and choose the gate by them.

    created   UTC, as the manifest keeps it
    shown     pictures among which the network's own lie; None: nothing looks for novel parts
    Raises CertificateError where a part was trained on or nothing shows that none was, and
    TooFewParts where the promises can't be made.
    """
    refuse_trained(bundle, dataset)
    before, compared = bundle.manifest.gate.gate, 1
    if terms.tail_weight is not None:
        before = replace(before, tail_weight=terms.tail_weight)
    elif terms.with_cloud:
        compared = weights_compared(bundle, dataset)
    # The backend is a part of what is certified: another one's scores differ a little.
    head = choose_runtime(runtime, bundle.read(HEAD), RuntimeOptions(threads=0)).runtime
    judged = judge(bundle, dataset, head.name, gate=before)
    novelty, left_out = _novelty(bundle, head, (dataset, judged), shown, terms.novelty)
    judged = judged.seen_by(novelty)
    parts = JudgedParts.of(dataset, judged)
    escalation_bytes = float(judged.encoded.mean())
    chosen = choose_thresholds(
        parts.kinds,
        terms.limits,
        before,
        weights_compared=compared,
        with_cloud=terms.with_cloud,
    )
    if chosen is None:
        raise system_too_few(
            Erring(parts.defective.parts, parts.defective.passed(before, with_cloud=True)),
            Erring(parts.good.parts, parts.good.rejected(before, with_cloud=True)),
            terms.limits,
            compared,
        )
    gate = cheaper(chosen.gate, parts.kinds, terms.prices, escalation_bytes)
    review = _review(parts, gate, terms, before, escalation_bytes)
    certificate = Certificate(
        delta=terms.limits.delta,
        escape=terms.limits.escape,
        false_reject=terms.limits.false_reject,
        n_defects=parts.defective.parts,
        n_good=parts.good.parts,
        review=review,
        review_share=review.with_cloud.seen / review.with_cloud.parts,
        novelty=_novelty_share(novelty, parts),
        edge_escapes=_promise(
            parts.defective.passed(gate, with_cloud=False),
            parts.defective,
            terms.limits.escape,
            chosen.passing,
        ),
        edge_overkill=_promise(
            parts.good.rejected(gate, with_cloud=False),
            parts.good,
            terms.limits.false_reject,
            chosen.rejecting,
        ),
        system=_system(bundle, parts, terms.limits, (gate, chosen), compared),
        head=bundle.manifest.files[HEAD].sha256,
        gate=GateSpec(**asdict(gate)),
        runtime=head.name,
        data=dataset.name,
        data_hash=dataset.content_hash(),
        split=split,
        pictures=len(dataset.samples),
        method=METHOD,
        created=created,
    )
    good, defective = (kind.escalated(gate) for kind in (parts.good, parts.defective))
    return Certified(
        certificate,
        float(np.concatenate([good, defective]).mean()),
        float(good.mean()),
        float((parts.good.edge < gate.pass_below).mean()),
        unsure_pictures(judged, dataset.labels, gate),
        novelty,
        left_out,
        _tested(bundle, dataset, judged, gate),
    )


def refuse_trained(bundle: Bundle, dataset: Dataset) -> None:
    """Raises CertificateError where the bundle was trained on a picture of one of these parts.

    A part counts whole: its other pictures show the same thing. Without a list of what a bundle
    was trained on there is no proof, and so no certificate.
    """
    seen = trained_on(bundle, dataset)
    if seen:
        raise CertificateError(
            told_seen(bundle, dataset, seen),
            fix="give parts that it has not seen: another --split, or the --seed of its training",
        )


def weights_compared(bundle: Bundle, dataset: Dataset) -> int:
    """Among how many weights of the tail these parts have already chosen; 1: they have not.

    A bundle that does not say which pictures chose is taken to have asked these.
    """
    if TUNED in bundle.manifest.files:
        images = [sample.image for sample in dataset.samples]
        if not known(images, bundle.read(TUNED)).any():
            return 1
    return bundle.manifest.training.tail_weights


def _novelty(
    bundle: Bundle,
    head: Runtime,
    tested: tuple[Dataset, Judgements],
    shown: Dataset | None,
    share: float,
) -> tuple[Novelty | None, str]:
    """What tells the novel, or None and why there is nothing.

    These parts set its limit, and decide as well what review costs. What is promised is tested on
    scores alone: a novel part passes and is rejected less often than these say.
    """
    if share == 0:
        return None, "it was not asked for"
    if shown is None:
        return bundle.novelty, "what it was shown was not given"
    dataset, judged = tested
    _, part = np.unique(dataset.parts, return_inverse=True)
    try:
        return fit_novelty(
            summaries_of_shown(bundle, shown, head),
            judged.summaries,
            np.asarray(part, np.intp)[judged.shown_by],
            share,
            bundle.manifest.pair,
        ), ""
    except CertificateError as error:
        # What the network was shown is the same as when the bundle had its limit.
        return bundle.novelty, str(error)


def _novelty_share(novelty: Novelty | None, parts: JudgedParts) -> NoveltyShare | None:
    if novelty is None:
        return None
    seen = sum(kind.parts_novel() for kind in parts.kinds)
    return NoveltyShare(
        share=novelty.share, seen=seen, parts=sum(kind.parts for kind in parts.kinds)
    )


def _promise(seen: int, tested: Scored, limit: float, bounds: SafeThresholds) -> Promise:
    return Promise(limit=limit, seen=seen, counted=bounds.counted, parts=tested.parts)


def _system(
    bundle: Bundle,
    parts: JudgedParts,
    limits: SystemLimits,
    choice: tuple[Gate, SystemChoice],
    compared: int,
) -> SystemCertificate:
    gate, chosen = choice
    with_cloud = gate.escalates
    passed = parts.defective.passed(gate, with_cloud=with_cloud)
    return SystemCertificate(
        escapes=_promise(passed, parts.defective, limits.escape, chosen.passing),
        overkill=_measured(
            parts.good.rejected(gate, with_cloud=with_cloud), parts.good.parts, limits.delta
        ),
        pair=bundle.manifest.pair,
        cap_bytes=bundle.manifest.features.cap_bytes,
        weights_compared=compared,
    )


def _review(
    parts: JudgedParts, gate: Gate, terms: CertificateTerms, before: Gate, escalation_bytes: float
) -> ReviewShares:
    """What is left to a person, and what the edge alone would leave."""
    alone = choose_thresholds(parts.kinds, terms.limits, before, with_cloud=False)
    kinds = parts.kinds
    everything = sum(kind.parts for kind in kinds)

    def found(one: Gate) -> tuple[MeasuredShare, float]:
        seen = sum(kind.parts_reviewed(one) for kind in kinds)
        cost = cost_of(one, kinds, terms.prices, escalation_bytes)
        return _measured(seen, everything, terms.limits.delta), cost

    with_cloud, cost = found(gate)
    edge = alone.gate if alone else gate.without_cloud()
    without_cloud, cost_without = found(edge)
    return ReviewShares(
        with_cloud=with_cloud,
        without_cloud=without_cloud,
        pass_below=edge.pass_below,
        reject_from=edge.reject_from,
        cost_with_cloud=cost,
        cost_without_cloud=cost_without,
    )


def _tested(bundle: Bundle, dataset: Dataset, judged: Judgements, gate: Gate) -> ScoredParts:
    names, part = np.unique(dataset.parts, return_inverse=True)
    defective = np.zeros(len(names), bool)
    defective[part[dataset.labels]] = True
    none = np.zeros(len(judged.edge), bool)
    return ScoredParts(
        pair=bundle.manifest.pair,
        tail_weight=gate.tail_weight,
        part=np.asarray(part, np.intp),
        defective=defective,
        edge=judged.edge,
        cloud=judged.cloud,
        encoded=judged.encoded,
        novel=judged.novel or NovelPictures(none, none),
    )


def _measured(seen: int, parts: int, delta: float) -> MeasuredShare:
    low, high = interval(seen, parts, delta)
    return MeasuredShare(seen=seen, parts=parts, low=low, high=high)
