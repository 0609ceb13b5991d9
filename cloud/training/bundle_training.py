"""One training, from a data set that is read to a bundle, told to a log on its way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.dataset import Dataset
from cloud.experiments.experiment_log import ExperimentLog
from cloud.experiments.mlflow_log import RECORD
from cloud.training.assembly import assemble
from cloud.training.good_only import assemble_good_only, learn_from
from cloud.training.options import Options
from cloud.training.record import PIXEL_MODEL, known_at_start, write_record, write_splits
from cloud.training.trainer import Trainer
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import MANIFEST
from shared.console import err
from shared.splitnet.export import export_pixels


@dataclass(frozen=True, slots=True)
class BundleOrder:
    """What is to be made, and of what.

    folder      of the training: checkpoint, record, what is cached
    target      where the bundle goes
    good_only   learn from good parts alone
    """

    dataset: Dataset
    options: Options
    folder: Path
    target: Path
    name: str
    version: str
    good_only: bool = False


def train_bundle(order: BundleOrder, log: ExperimentLog, *, resume: bool) -> Bundle:
    """Train, and write the bundle and the training's record.

    resume   go on with the folder's checkpoint where there is one
    Raises TrainingError or DataError where the data or the folder does not allow it.
    """
    options, folder = order.options, order.folder
    learned = learn_from(order.dataset, options, folder) if order.good_only else order.dataset
    trainer = Trainer(learned, options, folder, log)
    resumed = resume and trainer.resume()
    if resumed:
        err.print(f"resuming after epoch {trainer.epoch} of {options.all_epochs}")
    elif options.start_from:
        trainer.start_from(Path(options.start_from))
    facts = known_at_start(f"{order.name} {order.version}", options, order.dataset)
    log.begin(facts, resumed=resumed)
    with _told_how_it_ended(log):
        net = trainer.fit()
        (folder / PIXEL_MODEL).write_bytes(export_pixels(trainer.averaged))
        finish = assemble_good_only if order.good_only else assemble
        bundle = finish(
            net, order.dataset, trainer, order.target, name=order.name, version=order.version
        )
    record = write_record(folder, facts, trainer.curves, bundle)
    write_splits(folder, order.dataset)
    log.end(record, [folder / RECORD, folder / MANIFEST])
    return bundle


@contextmanager
def _told_how_it_ended(log: ExperimentLog) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        log.fail(stopped=isinstance(error, KeyboardInterrupt))
        raise
