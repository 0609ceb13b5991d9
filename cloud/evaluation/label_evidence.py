"""What a bundle has to say of a set's labels, once it has judged the pictures."""

from __future__ import annotations

import numpy as np

from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import known
from cloud.disputes.evidence import LabelEvidence, label_quality
from cloud.disputes.label_quality import LabelQuality
from cloud.disputes.lineage import LineOrigins
from cloud.evaluation.judgements import Judgements
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TRAINED
from shared.errors import BundleError


def judged_labels(
    bundle: Bundle, dataset: Dataset, found: Judgements, origins: LineOrigins, seed: int = 0
) -> LabelQuality:
    """The labels of the samples that were judged.

    origins   of the whole set; seed: of how parts are divided to be compared with each other
    Raises BundleError where a score is not a number, DataError where a picture can't be read.
    """
    return label_quality(
        dataset,
        label_evidence(bundle, dataset, found),
        bundle=f"{bundle.manifest.name} {bundle.manifest.version}",
        origins=origins,
        seed=seed,
    )


def label_evidence(bundle: Bundle, dataset: Dataset, found: Judgements) -> LabelEvidence:
    """Of each sample, in order. A bundle that does not say what it has learned from has learned
    from the train split.

    Raises BundleError where a score is not a number.
    """
    lost = np.flatnonzero(~np.isfinite(found.cloud))
    if len(lost):
        raise BundleError(
            f"{bundle.path.name} gives {len(lost)} pictures no score, the first is "
            f"{dataset.samples[int(lost[0])].image}",
            fix="its network does not compute numbers: train it again",
        )
    images = [sample.image for sample in dataset.samples]
    if TRAINED in bundle.manifest.files:
        learned = known(images, bundle.read(TRAINED))
    else:
        learned = np.array([sample.split == "train" for sample in dataset.samples], bool)
    return LabelEvidence(found.cloud, found.symbols, learned)
