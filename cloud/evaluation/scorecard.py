"""What `splitsight cloud evaluate` reports: edge, cloud and both together, side by side."""

from __future__ import annotations

import msgspec

from cloud.disputes.label_quality import LabelQuality
from cloud.evaluation.groups import Group
from cloud.evaluation.rates import Rates
from cloud.statistics.intervals import Interval, PartRate
from cloud.statistics.localisation import Localisation
from shared.bundles.robustness import Robustness
from shared.features.image_codecs import JPEG_QUALITY


class AtOverkill(msgspec.Struct, frozen=True):
    """The escapes that are left once a threshold rejects at most 5 % of the good pictures.

    It is read off on the split itself: a point of its curve, not a promise. For the system the
    gate stays, and the cloud's threshold is moved for what the gate escalates.
    """

    threshold: float
    escape_rate: float
    overkill_rate: float
    escapes: PartRate


class JudgeScore(msgspec.Struct, frozen=True, kw_only=True):
    """Edge alone, or the cloud as if every picture were sent.

    Rates are 0–1, by picture where nothing else is said; None where there is nothing to count.

    accuracy       the edge's is at its own best threshold on the calibration parts, without a
                   gate; the others' at the gate
    escape_rate    share of the defective that pass at the gate; overkill_rate, of the good that
                   are rejected. What the edge escalates is neither
    escapes        defective parts of which a picture passes; overkill, good ones of which one
                   is rejected
    pixels         of the defect maps, where the data has masks; the system has no map of its own
    """

    auroc: float | None
    auroc_interval: Interval | None
    average_precision: float | None
    accuracy: float
    escape_rate: float | None
    overkill_rate: float | None
    escapes: PartRate
    overkill: PartRate
    at_overkill: AtOverkill | None
    pixels: Localisation | None = None


class System(JudgeScore, frozen=True, kw_only=True):
    """Edge, gate and cloud together.

    bytes_per_part          sent up on average for a picture, escalated or not
    bytes_per_escalation_*  median and 95th percentile of the encoded features; the message's
                            header comes on top. None where nothing is escalated
    sent_coarser            share of the escalated that had to be coarser to fit the cap
    """

    escalation_rate: float
    bytes_per_part: float
    bytes_per_escalation_p50: float | None
    bytes_per_escalation_p95: float | None
    sent_coarser: float | None


class Escalated(msgspec.Struct, frozen=True):
    """Pictures that the edge is not sure of: what the cloud adds.

    auroc_edge     of the head's score among them; auroc_system: of the cloud's, which weighs both.
                   None where they are all good or all defective
    """

    n: int
    auroc_edge: float | None
    auroc_system: float | None


class ReviewRates(msgspec.Struct, frozen=True):
    """Shares of the parts, of which a person must look at a picture.

    with_cloud      by the gate as it is; `interval` of it
    without_cloud   by the edge alone, at the thresholds that its certificate found for a site
                    without a cloud; None where there is no such certificate
    """

    with_cloud: float
    interval: Interval
    without_cloud: float | None


class Jpeg(msgspec.Struct, frozen=True):
    """What the network's input costs as JPEG of `quality`; the median, bytes."""

    bytes_p50: float
    quality: int = JPEG_QUALITY


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The report of `splitsight cloud evaluate`.

    n_defects      defective pictures; n_good_parts and n_defective_parts count parts, and one
                   that has pictures of both kinds counts in both
    groups         the defective, by kind and size
    kind_accuracy  share of the defective pictures whose kind the tail names right, where it can
    rates          bytes against accuracy, where it was asked for
    novel_share    share of the pictures that are unlike anything that the network was shown; None
                   where nothing looks for them
    certificate    what the bundle promises, in a sentence
    seen           pictures that the bundle was trained on, which prove nothing
    robustness     of disturbed pictures, where it was asked for
    labels         what the scores say of the split's labels, where it was asked for
    """

    bundle: str
    data: str
    split: str
    n_images: int
    n_parts: int
    n_defects: int
    n_good_parts: int
    n_defective_parts: int
    edge: JudgeScore
    cloud: JudgeScore
    system: System
    groups: list[Group]
    kind_accuracy: float | None
    jpeg: Jpeg
    escalated: Escalated
    review_share: ReviewRates
    rates: Rates | None = None
    novel_share: float | None = None
    certificate: str | None = None
    seen: int = 0
    robustness: Robustness | None = None
    labels: LabelQuality | None = None
