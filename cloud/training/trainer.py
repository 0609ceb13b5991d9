"""Fit the split network on a data set; resumable after a kill."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import PictureArrays, load_pictures
from cloud.experiments.experiment_log import ExperimentLog, UnkeptLog
from cloud.training.batches import Batches, at_size, resized
from cloud.training.checkpoint import (
    CHECKPOINT,
    averaged_weights,
    read_checkpoint,
    refuse_leak,
    write_checkpoint,
)
from cloud.training.options import Options
from cloud.training.teacher import Teacher
from cloud.training.tiles import tiled
from cloud.training.validation import score, watched
from shared.console import err, track
from shared.errors import TrainingError
from shared.splitnet.network import SplitNet
from shared.splitnet.objective import (
    Losses,
    TrainingBatch,
    bottleneck_losses,
    pixel_losses,
    tail_losses,
)
from shared.splitnet.precision import quick_precision


class Trainer:
    """Trains in `run`, where it keeps a checkpoint an epoch; `log` is told of each epoch.

    Raises TrainingError where the data can't be learned from, or where a checkpoint to resume
    was made with other options.
    """

    def __init__(
        self, dataset: Dataset, options: Options, run: Path, log: ExperimentLog | None = None
    ) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._log = log or UnkeptLog()
        self.dataset = dataset
        self.options = options
        self.run = run
        self._data = dataset.content_hash()
        self.curves: list[dict[str, float]] = []
        self.epoch = 0
        torch.manual_seed(options.seed)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.train_set, self.watch_set = (
            tiled(dataset.of(split), options.pixels) for split in ("train", "calibrate")
        )
        for part in (self.train_set, self.watch_set):
            _want_both_labels(part)
        self.net = SplitNet(options.architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # What starts from noise is no use as it is.
        if self.net.weights_origin:
            self.net.head.freeze(options.frozen_blocks)
        self.average = self._averaged_copy()
        self.optimiser = self._optimiser()
        self._best: tuple[float, int, dict[str, Tensor]] | None = None

    @property
    def averaged(self) -> SplitNet:
        """The network with averaged weights: what is watched and shipped."""
        return cast("SplitNet", self.average.module)

    @property
    def checkpoint(self) -> Path:
        return self.run / CHECKPOINT

    @property
    def on_pixels(self) -> bool:
        """Whether there is no bottleneck yet: the first two stages."""
        return not self.net.tail.judgement_kept

    @property
    def head_finished(self) -> bool:
        """Whether the second stage has begun."""
        return bool(self.net.head.judgement_kept)

    def resume(self) -> bool:
        """Take up the last checkpoint. False where there is none."""
        if not self.checkpoint.is_file():
            return False
        state = read_checkpoint(self.run, self.options, self._data)
        if state["epoch"] > self.options.epochs:
            self._begin_tail()
        if state["epoch"] > self.options.pixel_epochs:
            self._begin_bottleneck()
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        self.epoch, self.curves, self._best = state["epoch"], state["curves"], state["best"]
        return True

    def start_from(self, run: Path) -> None:
        """Begin the last stage with the averaged weights of another run.

        Raises TrainingError where that run can't be read, is of another shape, or divided the
        same data in another way: its training parts could be among our test parts.
        """
        try:
            self.net.load_state_dict(averaged_weights(run))
        except RuntimeError as error:
            raise TrainingError(
                f"{run} can't be started from ({str(error).splitlines()[0]})",
                fix="give the run folder of a training with the same input and bottleneck",
            ) from error
        refuse_leak(run, self.dataset)
        self.net.head.keep_judgement()
        self._begin_bottleneck()
        self.epoch = self.options.pixel_epochs

    def fit(self) -> SplitNet:
        """Train the epochs that are left; returns the averaged network, in eval mode."""
        o = self.options
        teacher = Teacher(Path(o.teacher), self.dataset) if o.teacher and self.on_pixels else None
        height, width = teacher.size if teacher else (o.architecture.height, o.architecture.width)
        pictures = self._load(self.train_set, height, width)
        batches = Batches(self.train_set, pictures, o.augmentation, o.batch, self.generator)
        watch = self._load(self.watch_set, o.architecture.height, o.architecture.width)
        while self.epoch < o.all_epochs:
            if self.epoch >= o.epochs and not self.head_finished:
                self._end_together()
            if self.epoch >= o.pixel_epochs and self.on_pixels:
                self._end_pixels(pictures)
            started = time.monotonic()
            means = self._train_epoch(batches, teacher)
            self.epoch += 1
            self._watch(means, watch, started)
            self._stop_early()
            self._save()
            # Once it is said it is kept: a kill after the line goes on behind it.
            err.print(
                "  ".join(f"{k} {v:.4g}" for k, v in self.curves[-1].items()), highlight=False
            )
            self._log.learned(self.curves)
        return self.averaged.eval()

    def _watch(self, means: dict[str, float], watch: PictureArrays, started: float) -> None:
        scores = score(self.averaged.eval(), watch, on_pixels=self.on_pixels)
        figures = watched(scores, self.watch_set.labels)
        seconds = time.monotonic() - started
        row = {"epoch": self.epoch, **means, **figures, "seconds": seconds}
        self.curves.append(row)

    def _stop_early(self) -> None:
        """End the first stage where the watched parts have not gained for `patience` epochs."""
        if not self.options.patience or self.head_finished:
            return
        value = self.curves[-1]["edge_auroc"] + self.curves[-1]["tail_auroc"]
        if self._best is None or value > self._best[0]:
            kept = copy.deepcopy(self.average.state_dict())
            self._best = (value, self.epoch, kept)
        elif self.epoch - self._best[1] >= self.options.patience:
            err.print(f"no gain since epoch {self._best[1]}: going back to it", highlight=False)
            self.epoch = self.options.epochs

    def _end_together(self) -> None:
        """Keep the head that the first stage ended with, or its best."""
        if self._best is not None:
            self.average.load_state_dict(self._best[2])
            self._best = None
        self.net.load_state_dict(self.averaged.state_dict())
        self._begin_tail()

    def _begin_tail(self) -> None:
        """The head's layers stay as they are from here on, but for the encoder. What the tail
        learned beside it is dropped: trained anew behind the finished head it is better
        (docs/decisions/0006)."""
        self.net.head.keep_judgement()
        if self.options.tail_epochs:
            self.net.restart_tail()
            self.net.to(memory_format=torch.channels_last)
        self.average = self._averaged_copy()
        self.optimiser = self._optimiser()

    def _end_pixels(self, pictures: PictureArrays) -> None:
        """Keep the tail as it judges pixels; the decoder starts at the true features' level."""
        self.net.load_state_dict(self.averaged.state_dict())
        a = self.options.architecture
        sample = torch.from_numpy(np.array(pictures.inputs[:: max(1, len(pictures.inputs) // 32)]))
        with torch.no_grad():
            small = resized(sample.float(), (a.height, a.width))
            truth = self.net.head.eval().shared_features(small)
        decoder = self.net.tail.decoder
        decoder.fine.expect(truth.fine)
        decoder.coarse.expect(truth.coarse)
        self._begin_bottleneck()

    def _begin_bottleneck(self) -> None:
        """Only encoder and decoder learn from here on; the tail's judgement of true features is
        their guide."""
        self.net.tail.keep_judgement()
        self.average = self._averaged_copy()
        self.optimiser = self._optimiser()

    def _averaged_copy(self) -> AveragedModel:
        return AveragedModel(
            self.net,
            multi_avg_fn=get_ema_multi_avg_fn(self.options.average),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )

    def _load(self, dataset: Dataset, height: int, width: int) -> PictureArrays:
        channels = self.options.architecture.channels
        size = (channels, height, width)
        return load_pictures(dataset, size, self.run / "cache", self.options.pixels)

    def _optimiser(self) -> torch.optim.Optimizer:
        pretrained: list[nn.Module] = [self.net.head.stem, self.net.head.blocks]
        pretrained.append(self.net.tail.blocks)
        known = {id(p) for module in pretrained for p in module.parameters()}
        wanted = [p for p in self.net.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in wanted if id(p) in known],
                "share": self.options.backbone_share,
            },
            {"params": [p for p in wanted if id(p) not in known], "share": 1.0},
        ]
        return torch.optim.AdamW(groups, lr=self.options.rate, weight_decay=self.options.decay)

    def _train_epoch(self, batches: Batches, teacher: Teacher | None) -> dict[str, float]:
        self.net.train()
        totals = np.zeros(4)
        for step, batch in enumerate(track(batches, f"epoch {self.epoch + 1}")):
            self._set_rate(self.epoch + step / len(batches))
            with quick_precision():
                loss = self._losses(batch, teacher)
            value = float(loss.total.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} in epoch {self.epoch + 1}", fix="lower --learning-rate"
                )
            # Of layers that learn no more, too: what an earlier stage left there would count in the
            # norm, and clip what the others learn.
            self.net.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimiser.step()
            self.average.update_parameters(self.net)
            totals += [float(loss.edge), float(loss.tail), float(loss.decode), float(loss.bits)]
        edge, tail, decode, bits = (totals / len(batches)).tolist()
        return {"edge": edge, "tail": tail, "decode": decode, "bits": bits}

    def _losses(self, batch: TrainingBatch, teacher: Teacher | None) -> Losses:
        o = self.options
        size = (o.architecture.height, o.architecture.width)
        guide = teacher.judge(batch.picture, (size[0] // 8, size[1] // 8)) if teacher else None
        batch = at_size(batch, size)
        if not self.head_finished:
            return pixel_losses(self.net, batch, o.weights, guide)
        with torch.no_grad():
            truth = self.net.head.shared_features(batch.picture)
        if self.on_pixels:
            return tail_losses(self.net, truth, batch, o.weights, guide)
        apart = self.epoch - o.pixel_epochs < o.apart * o.bottleneck_epochs
        return bottleneck_losses(self.net, truth, o.weights, guided=not apart)

    def _set_rate(self, position: float) -> None:
        """In each stage a short warm-up, then half a cosine down to a hundredth."""
        o = self.options
        if not self.head_finished:
            start, length = 0, o.epochs
        elif self.on_pixels:
            start, length = o.epochs, o.tail_epochs
        else:
            start, length = o.pixel_epochs, o.bottleneck_epochs
        done = (position - start) / length
        warm = min(1.0, done * length + 0.02)
        level = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in self.optimiser.param_groups:
            group["lr"] = o.rate * group["share"] * level

    def _save(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "torch_rng": torch.get_rng_state(),
            "epoch": self.epoch,
            "curves": self.curves,
            "best": self._best,
        }
        write_checkpoint(self.run, self.options, self._data, state)


def _want_both_labels(dataset: Dataset) -> None:
    labels = dataset.labels
    if labels.all() or not labels.any():
        kind = "defective" if labels.any() else "good"
        raise TrainingError(
            f"the {dataset.samples[0].split} parts of {dataset.name} are all {kind}",
            fix="training needs good and defective parts in each split",
        )
