"""No part that shaped a bundle may judge it."""

from __future__ import annotations

from cloud.datasets.dataset import Dataset, Sample
from cloud.datasets.fingerprints import known
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TRAINED
from shared.console import err
from shared.errors import CertificateError, DataError


def trained_on(bundle: Bundle, dataset: Dataset) -> list[Sample]:
    """The samples that the bundle was trained on.

    Raises CertificateError where the bundle does not list them: then nothing shows that it was
    trained on none of these.
    """
    if TRAINED not in bundle.manifest.files:
        raise CertificateError(
            f"{bundle.path.name} has no {TRAINED}: nothing shows that it was not trained on "
            "these parts",
            fix="train it again: this version lists what a bundle was trained on",
        )
    trained = known([sample.image for sample in dataset.samples], bundle.read(TRAINED))
    return [s for s, was in zip(dataset.samples, trained, strict=True) if was]


def told_seen(bundle: Bundle, dataset: Dataset, seen: list[Sample]) -> str:
    """How many parts of the set that is, and the first."""
    return (
        f"{bundle.path.name} was trained on {len({s.part for s in seen})} of these "
        f"{len(set(dataset.parts))} parts of {dataset.name}, the first is {seen[0].part} "
        f"({seen[0].image.name})"
    )


def require_unseen(bundle: Bundle, dataset: Dataset, *, allow: bool = False) -> int:
    """How many pictures of the set the bundle was trained on: none, or as many as are allowed.

    allow   only say it: for looking, not for judging
    Raises DataError. A bundle that does not list what it was trained on is told of, and passes.
    """
    if TRAINED not in bundle.manifest.files:
        err.print(
            f"{bundle.path.name} does not list what it was trained on: whether these parts were "
            "among it is not known",
            highlight=False,
        )
        return 0
    seen = trained_on(bundle, dataset)
    if not seen:
        return 0
    if not allow:
        raise DataError(
            told_seen(bundle, dataset, seen),
            fix="give parts that it has not seen: another --split, or the --seed of its training; "
            "--allow-seen looks at them all the same",
        )
    err.print(told_seen(bundle, dataset, seen), highlight=False)
    return len(seen)
