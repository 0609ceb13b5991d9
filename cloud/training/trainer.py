"""Fit the split network on a data set; resumable after a kill."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cloud.training.augment import Augmentation, augment
from cloud.training.dataset import Dataset
from cloud.training.metrics import auroc
from cloud.training.pictures import Pictures, load_pictures
from shared.console import err, track
from shared.errors import TrainingError
from shared.splitnet.network import Architecture, SplitNet
from shared.splitnet.objective import Batch, Weights, judge, losses


@dataclass(frozen=True, slots=True)
class Options:
    """How to train.

    rate      of the new layers, per batch; the backbone learns at `backbone_share` of it
    apart     share of the epochs in which tail and bottleneck learn apart
    average   decay of the exponential average of weights, per batch
    """

    architecture: Architecture = field(default_factory=Architecture)
    weights: Weights = field(default_factory=Weights)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 25
    apart: float = 0.35
    frozen_blocks: int = 2
    batch: int = 8
    rate: float = 4e-3
    backbone_share: float = 0.2
    decay: float = 0.02
    average: float = 0.99
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """What both halves say of a split's samples, in their order; probabilities, float32 (n,)."""

    edge: np.ndarray
    tail: np.ndarray
    bits: np.ndarray


class Trainer:
    """Trains in `run`, where it keeps a checkpoint an epoch and a log of curves.

    Raises TrainingError where the data can't be learned from, or where a checkpoint to resume
    was made with other options.
    """

    def __init__(self, dataset: Dataset, options: Options, run: Path) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self.dataset = dataset
        self.options = options
        self.run = run
        self._warm = False
        self.curves: list[dict[str, float]] = []
        self.epoch = 0
        torch.manual_seed(options.seed)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.train_set, self.watch_set = dataset.of("train"), dataset.of("calibrate")
        for part in (self.train_set, self.watch_set):
            _want_both_labels(part)
        self.net = SplitNet(options.architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net.head.freeze(options.frozen_blocks)
        self.average = AveragedModel(
            self.net,
            multi_avg_fn=get_ema_multi_avg_fn(options.average),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self.optimiser = torch.optim.AdamW(
            self._groups(), lr=options.rate, weight_decay=options.decay
        )

    @property
    def averaged(self) -> SplitNet:
        """The network with averaged weights: what is watched and shipped."""
        return cast("SplitNet", self.average.module)

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoint.pt"

    def resume(self) -> bool:
        """Take up the last checkpoint. False where there is none."""
        if not self.checkpoint.is_file():
            return False
        state = torch.load(self.checkpoint, weights_only=True)
        if state["options"] != json.dumps(asdict(self.options), sort_keys=True):
            raise TrainingError(
                f"the checkpoint in {self.run} was made with other options",
                fix="resume with the same options, or choose another --run folder",
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_rng"])
        self.epoch, self.curves = state["epoch"], state["curves"]
        return True

    def start_from(self, run: Path) -> None:
        """Begin with the averaged weights of another run, whose network must be alike.

        Raises TrainingError where that run can't be read, is of another shape, or divided the
        same data in another way: its training parts could be among our test parts.
        """
        other = run / "checkpoint.pt"
        try:
            state = torch.load(other, weights_only=True)["average"]
            self.average.load_state_dict(state)
        except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"{other} can't be started from ({str(error).splitlines()[0]})",
                fix="give the run folder of a training with the same input and bottleneck",
            ) from error
        refuse_leak(run, self.dataset)
        self.net.load_state_dict(self.averaged.state_dict())
        self._warm = True

    def fit(self) -> SplitNet:
        """Train the epochs that are left; returns the averaged network, in eval mode."""
        train = self._load(self.train_set)
        watch = self._load(self.watch_set)
        if self.epoch == 0 and not self._warm:
            self._start_decoder(train)
        while self.epoch < self.options.epochs:
            started = time.monotonic()
            means = self._train_epoch(train)
            self.epoch += 1
            scores = self.score(watch)
            labels = self.watch_set.labels
            row = {
                "epoch": self.epoch,
                **means,
                "edge_auroc": auroc(scores.edge, labels),
                "tail_auroc": auroc(scores.tail, labels),
                "kilobytes": float(np.median(scores.bits)) / 8192,
                "seconds": time.monotonic() - started,
            }
            self.curves.append(row)
            self._save()
            err.print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), highlight=False)
        return self.averaged.eval()

    def score(self, pictures: Pictures) -> Scores:
        """Judge prepared pictures with the averaged network."""
        net = self.averaged.eval()
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, len(pictures.inputs), 32):
            batch = torch.from_numpy(np.array(pictures.inputs[start : start + 32]))
            parts.append(judge(net, batch))
        edge, tail, bits = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
        return Scores(edge, tail, bits)

    def _start_decoder(self, pictures: Pictures) -> None:
        sample = torch.from_numpy(np.array(pictures.inputs[:: max(1, len(pictures.inputs) // 32)]))
        with torch.no_grad():
            features = self.net.eval().head.shared_features(sample)
        for net in (self.net, self.averaged):
            net.tail.expect(features)

    def _load(self, dataset: Dataset) -> Pictures:
        a = self.options.architecture
        return load_pictures(dataset, a.height, a.width, a.channels, self.run / "cache")

    def _groups(self) -> list[dict[str, Any]]:
        backbone = [
            *self.net.head.stem.parameters(),
            *self.net.head.blocks.parameters(),
            *self.net.tail.blocks.parameters(),
        ]
        known = {id(parameter) for parameter in backbone}
        backbone = [p for p in backbone if p.requires_grad]
        new = [p for p in self.net.parameters() if id(p) not in known]
        share = self.options.backbone_share
        return [{"params": backbone, "share": share}, {"params": new, "share": 1.0}]

    def _train_epoch(self, pictures: Pictures) -> dict[str, float]:
        self.net.train()
        targets = torch.from_numpy(self.train_set.targets)
        batches = list(self._batches(len(targets)))
        totals = np.zeros(4)
        apart = self.epoch < self.options.apart * self.options.epochs
        for step, index in enumerate(track(batches, f"epoch {self.epoch + 1}")):
            self._set_rate(self.epoch + step / len(batches))
            picture = torch.from_numpy(pictures.inputs[index]).float()
            mask = torch.from_numpy(pictures.masks[index])
            picture, mask = augment(picture, mask, self.options.augmentation, self.generator)
            picture = picture.contiguous(memory_format=torch.channels_last)
            masked = torch.from_numpy(pictures.masked[index])
            batch = Batch(picture, targets[index], mask, masked)
            with torch.autocast("cpu", torch.bfloat16):
                loss = losses(self.net, batch, self.options.weights, apart=apart)
            value = float(loss.total.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"the loss is {value} in epoch {self.epoch + 1}",
                    fix="lower --rate",
                )
            self.optimiser.zero_grad(set_to_none=True)
            loss.total.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
            self.optimiser.step()
            self.average.update_parameters(self.net)
            totals += [float(loss.edge), float(loss.tail), float(loss.decode), float(loss.bits)]
        edge, tail, decode, bits = (totals / len(batches)).tolist()
        return {"edge": edge, "tail": tail, "decode": decode, "bits": bits}

    def _batches(self, count: int) -> Iterator[np.ndarray]:
        order = torch.randperm(count, generator=self.generator).numpy()
        size = min(self.options.batch, count)
        for start in range(0, count - size + 1, size):
            yield np.sort(order[start : start + size])

    def _set_rate(self, position: float) -> None:
        """One epoch of warm-up, then half a cosine down to a hundredth."""
        warm = min(1.0, position + 0.02)
        done = position / self.options.epochs
        level = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.rate * group["share"] * level

    def _save(self) -> None:
        """Replace the checkpoint in one step, so that a kill leaves the old one or the new."""
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(
            {
                "options": json.dumps(asdict(self.options), sort_keys=True),
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "generator": self.generator.get_state(),
                "torch_rng": torch.get_rng_state(),
                "epoch": self.epoch,
                "curves": self.curves,
            },
            partial,
        )
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(self.checkpoint)


def refuse_leak(run: Path, dataset: Dataset) -> None:
    """Raises TrainingError where `run` learned from the same data, divided in another way."""
    try:
        record = json.loads((run / "record.json").read_text())["data"]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{run} has no record.json that can be read ({error})",
            fix="start from a run that has come to its end",
        ) from error
    if record["name"] == dataset.name and record["hash"] != dataset.content_hash():
        raise TrainingError(
            f"{run} was trained on another division of {dataset.name}",
            fix="use the same --data and --seed, or its parts leak into this test",
        )


def _want_both_labels(dataset: Dataset) -> None:
    labels = dataset.labels
    if labels.all() or not labels.any():
        kind = "defective" if labels.any() else "good"
        raise TrainingError(
            f"the {dataset.samples[0].split} parts of {dataset.name} are all {kind}",
            fix="training needs good and defective parts in each split",
        )
