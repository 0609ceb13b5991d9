"""One trial of a search: a short training, judged on the calibrate parts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import load_pictures
from cloud.experiments.experiment_log import Row, UnkeptLog
from cloud.statistics.metrics import auroc
from cloud.studies.budget import TimeBudget
from cloud.training.assembly import weigh
from cloud.training.good_only import learn_from
from cloud.training.options import Options
from cloud.training.trainer import Trainer
from cloud.training.validation import score, watched
from shared.console import err
from shared.errors import TrainingError


class TrialFigures(NamedTuple):
    """On the calibrate parts, by the network before it is quantised.

    system_auroc  of both halves together, as the cloud weighs them
    kilobytes     the median of what a picture's features take
    """

    system_auroc: float
    kilobytes: float


class _BudgetLog(UnkeptLog):
    """Ends a training at the end of the epoch in which the budget is spent, but for the last."""

    def __init__(self, budget: TimeBudget, epochs: int) -> None:
        self._budget = budget
        self._epochs = epochs

    def learned(self, curves: Sequence[Row]) -> None:
        self._budget.spend()
        if curves[-1]["epoch"] < self._epochs:
            self._budget.want_more()


def run_trial(
    dataset: Dataset, options: Options, folder: Path, budget: TimeBudget, *, good_only: bool
) -> TrialFigures:
    """Train in the folder, going on with its checkpoint where there is one.

    Raises TimeSpent at the end of an epoch; TrainingError where the training diverges.
    """
    learned = learn_from(dataset, options, folder) if good_only else dataset
    trainer = Trainer(learned, options, folder, _BudgetLog(budget, options.all_epochs))
    if trainer.resume():
        err.print(f"  going on after epoch {trainer.epoch} of {options.all_epochs}")
    net = trainer.fit()
    a, watch = options.architecture, trainer.watch_set
    size = (a.channels, a.height, a.width)
    pictures = load_pictures(watch, size, folder / "cache", options.pixels)
    scores = score(net, pictures, on_pixels=False)
    _, together = weigh(scores.edge.astype(float), scores.tail.astype(float), watch.labels)
    found = TrialFigures(auroc(together, watch.labels), watched(scores, watch.labels)["kilobytes"])
    if not all(map(math.isfinite, found)):
        raise TrainingError(
            f"the training diverged: {found.system_auroc} of AUROC at {found.kilobytes} kB",
            fix="search at lower learning rates",
        )
    return found


def clear(folder: Path) -> None:
    """Delete what a trial that has ended needs no more; many of them fill a disk."""
    shutil.rmtree(folder, ignore_errors=True)
