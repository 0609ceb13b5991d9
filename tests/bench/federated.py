"""`python -m tests.bench federated SET --data PATH`: plants learn together, each alone, or all in
one place.

Every variant starts from the same ImageNet backbone with untrained heads, trains the same layers
with the same optimiser for the same number of epochs, and is judged by the edge's score on parts
that no plant trains with. A variant that was stopped goes on after its last round.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from flwr.clientapp import ClientApp

from cloud.datasets.dataset import Dataset
from cloud.datasets.readers import read
from edge.learner.client_app import client_app
from edge.learner.device import InMemory, LearningDevice
from edge.learner.evaluation import LocalJudgements
from edge.learner.feature_cache import CachedFeatures
from edge.learner.folder import PictureFile, PictureFiles
from edge.learner.local_state import LocalState
from edge.learning.labelled_parts import LabelledPicture
from fleet.rounds.aggregation.plain_aggregation import PlainAggregation
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.coordination.journal import RunJournal
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.report.findings import RoundRecord
from fleet.rounds.strategies.settings import (
    FedAvgSettings,
    FedBNSettings,
    FedProxSettings,
    StrategySettings,
)
from shared import log
from shared.certification.ranking import auroc
from shared.console import err
from shared.errors import SplitsightError
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import Scope, TrainOrder, Vector
from shared.splitnet.base_network import export_base
from shared.splitnet.network import Architecture, SplitNet

EVERYONE = "everyone"
ONE_PLACE = LocalSettings(rate=2e-3, block_share=0.2)
PLANTS = LocalSettings(rate=6e-3, block_share=0.4)
FROM_BLOCK = 5
VARIANTS = ("fedavg", "centralised", "alone", "fedbn", "personal", "fedprox")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One data set, divided among plants.

    plants   `domain`: one a domain; `own`: the same, and no part is trained with by two plants;
             `skewed`: two a domain, one with most of the defects
    epochs   a round
    """

    name: str
    plants: str
    rounds: int
    epochs: int = 1


EXPERIMENTS = {
    "magnetic-tile": Experiment("magnetic-tile", "domain", 12),
    "own-tiles": Experiment("own-tiles", "own", 12, 4),
    "elpv": Experiment("elpv", "skewed", 6),
}
STRATEGIES: dict[str, StrategySettings] = {"fedprox": FedProxSettings(), "fedbn": FedBNSettings()}


class Bench:
    """One seed of one experiment; looked-at pictures are shared by all variants."""

    def __init__(self, experiment: Experiment, data: str, folder: Path, seed: int) -> None:
        self._experiment = experiment
        self._seed = seed
        self._folder = folder / experiment.name
        self._folder.mkdir(parents=True, exist_ok=True)
        dataset = read(data)
        self._plants = divide(dataset, experiment.plants)
        self._memory = Looked(self._plants, self._folder)
        self._base_path = self._folder / f"base-{seed}.npz"
        if not self._base_path.is_file():
            torch.manual_seed(seed)
            export_base(SplitNet(Architecture()), self._base_path)
        self._base = BaseNetwork.read(self._base_path)

    def run(self, variant: str) -> dict[str, object]:
        """The variant's curves; from the file where it came to its end before."""
        path = self._folder / f"{variant}-{self._seed}.json"
        if path.is_file():
            found: dict[str, object] = json.loads(path.read_text())
            return found
        everyone = {EVERYONE: together(self._plants.values())}
        match variant:
            case "centralised":
                curves = [self._one(variant, everyone)]
            case "alone":
                curves = [
                    self._one(f"{variant}-{name}", {name: parts})
                    for name, parts in self._plants.items()
                ]
            case _:
                curves = [self._one(variant, self._plants)]
        report = {"variant": variant, "seed": self._seed, "curve": joined(curves)}
        if variant == "alone":
            report["abroad"] = self.abroad()
        path.write_text(json.dumps(report))
        return report

    def abroad(self) -> float:
        """Edge AUROC of a network that one plant learned alone, on every plant's held-out parts:
        the mean over plants, from their finished runs."""
        found = []
        for home in self._plants:
            progress = RunJournal(self._folder / f"alone-{home}-{self._seed}").read()
            assert progress is not None
            terms = progress.terms
            scope = Scope(from_block=FROM_BLOCK, encoder=False)
            order = TrainOrder(terms.run, terms.base, terms.layout, scope, seed=self._seed)
            state = LocalState(self._folder / "nothing-local")
            judged = [
                LearningDevice(parts, self._base, state, memory=self._memory).judge(
                    order, progress.values, progress.round
                )
                for parts in self._plants.values()
            ]
            scores = np.concatenate([one.score for one in judged])
            found.append(auroc(scores, np.concatenate([one.defective for one in judged])))
        return float(np.mean(found))

    def _one(self, name: str, plants: Mapping[str, PictureFiles]) -> list[dict[str, object]]:
        """Rounds among these plants; each round's scores of their held-out parts."""
        folder = self._folder / f"{name}-{self._seed}"
        devices = {
            plant: LearningDevice(
                parts, self._base, LocalState(folder / "state" / plant), memory=self._memory
            )
            for plant, parts in plants.items()
        }
        apps: dict[str, ClientApp] = {n: client_app(device) for n, device in devices.items()}
        personal = name == "personal"
        settings = RoundSettings(
            base=self._base_path,
            folder=folder,
            least_devices=1,
            deadline_s=36_000,
            strategy=STRATEGIES.get(name, FedAvgSettings()),
            scope=ScopeSettings(
                from_block=FROM_BLOCK,
                encoder=False,
                normalisation="local" if personal else "shared",
                judgement="local" if personal else "shared",
            ),
            local=(ONE_PLACE if name == "centralised" else PLANTS).model_copy(
                update={"epochs": self._experiment.epochs}
            ),
        )
        curve_path = folder / "curve.json"
        curve = json.loads(curve_path.read_text()) if curve_path.is_file() else []

        def watch(record: RoundRecord, values: Vector) -> None:
            order = coordinator.order(record.round)
            judged = [d.judge(order, values, record.round) for d in devices.values()]
            row = {
                "round": record.round,
                "loss": record.loss,
                "bytes": record.bytes_down + record.bytes_up,
                "seconds": record.seconds,
                "judged": [row_of(d, one) for d, one in zip(devices.values(), judged, strict=True)],
            }
            curve[record.round - 1 :] = [row]
            curve_path.write_text(json.dumps(curve))
            err.print(f"{name} seed {self._seed} {record.round}: {figures(row)}", highlight=False)

        plan = RunPlan(self._experiment.rounds, self._seed)
        grid = InProcessGrid(apps, at_once=1)
        coordinator = Coordinator(
            grid, settings, plan, self._base, watch=watch, aggregation=PlainAggregation
        )
        coordinator.run()
        rows: list[dict[str, object]] = curve
        return rows


class Looked(InMemory):
    """Looked-at pictures on disk, for every seed and variant: the frozen layers are ImageNet's in
    all of them. Everyone's are those of all plants together, so that the one place that has all
    pictures sees the very ones that the plants see.
    """

    def __init__(self, plants: Mapping[str, PictureFiles], folder: Path) -> None:
        super().__init__()
        self._plants = plants
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: tuple[object, ...]) -> CachedFeatures | None:
        name, *how = _seedless(key)
        if name == EVERYONE:
            each = [self._read(plant, how) for plant in self._plants]
            there = [examples for examples in each if examples is not None]
            if len(there) < len(each):
                raise SplitsightError(
                    "plants have not looked at their pictures yet",
                    fix="run `--variants fedavg centralised`: the one place sees what plants saw",
                )
            return beside(there)
        return self._read(str(name), how)

    def put(self, key: tuple[object, ...], examples: CachedFeatures) -> None:
        name, *how = _seedless(key)
        super().put((name, *how), examples)
        tensors = [*examples.kept, examples.mask, examples.masked, examples.target]
        partial = self._path(str(name), how).with_suffix(".partial")
        torch.save(tensors, partial)
        partial.replace(self._path(str(name), how))

    def _read(self, name: str, how: Sequence[object]) -> CachedFeatures | None:
        path = self._path(name, how)
        if super().get((name, *how)) is None and path.is_file():
            *kept, mask, masked, target = torch.load(path, weights_only=True)
            index = self._plants[name].index()
            labels = [label for label in index if label.use == how[0]]
            super().put((name, *how), CachedFeatures(kept, mask, masked, target, labels))
        return super().get((name, *how))

    def _path(self, name: str, how: Sequence[object]) -> Path:
        return self._folder / f"looked-{name}-{'-'.join(map(str, how))}.pt"


def _seedless(key: tuple[object, ...]) -> tuple[object, ...]:
    """Device, use, versions and the first block that learns."""
    name, use, versions, _seed, frozen, _index = key
    assert isinstance(frozen, tuple)
    return name, use, versions, frozen[0]


def beside(each: Sequence[CachedFeatures]) -> CachedFeatures:
    """Examples of several devices as those of one."""

    def join(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        by_version = [
            t.reshape(-1, len(one), *t.shape[1:]) for t, one in zip(tensors, each, strict=True)
        ]
        return torch.cat(by_version, dim=1).flatten(0, 1)

    return CachedFeatures(
        [join(layers) for layers in zip(*(one.kept for one in each), strict=True)],
        join([one.mask for one in each]),
        torch.cat([one.masked for one in each]),
        torch.cat([one.target for one in each]),
        [label for one in each for label in one.labels],
    )


def divide(dataset: Dataset, how: str) -> dict[str, PictureFiles]:
    """The data set's parts among plants."""
    files: dict[str, list[PictureFile]] = {}
    trained = {s.domain for s in dataset.samples if s.split == "train"}
    for sample in dataset.samples:
        if sample.domain not in trained:
            continue
        plant = sample.domain
        # The same tile was photographed in every domain.
        elsewhere = sorted(trained)[hash_of(sample.part) % len(trained)] != plant
        if how == "own" and sample.split == "train" and elsewhere:
            continue
        if how == "skewed":
            draw = np.random.default_rng(abs(hash_of(sample.part))).random()
            plant += "-a" if (draw < 0.85) == sample.defective else "-b"
        label = LabelledPicture(sample.part, sample.defective, sample.defect, plant, sample.split)
        mask = sample.mask.files[0] if sample.mask else None
        files.setdefault(plant, []).append(PictureFile(label, sample.image, mask))
    return {plant: PictureFiles(plant, files[plant]) for plant in sorted(files)}


def hash_of(text: str) -> int:
    """The same on every run."""
    return int.from_bytes(text.encode()[-8:])


def together(plants: Iterable[PictureFiles]) -> PictureFiles:
    """Everyone's pictures in one place."""
    return PictureFiles(EVERYONE, [file for plant in plants for file in plant.files])


def row_of(device: LearningDevice, judged: LocalJudgements) -> dict[str, object]:
    """Scores by plant, as plain numbers."""
    domains = [label.domain for label in device.parts.index() if label.use == "test"]
    return {
        "device": device.name,
        "domains": domains,
        "scores": [round(float(score), 5) for score in judged.score],
        "defective": [bool(one) for one in judged.defective],
    }


def figures(row: Mapping[str, object]) -> dict[str, float]:
    """Edge AUROC over all held-out pictures, and the mean over plants.

    Where plants differ in how many parts are defective, scores of several networks can't be pooled:
    a plant's own network knows what is usual there, and so which plant tells much of the label.
    """
    judged: list[dict[str, list[object]]] = row["judged"]  # type: ignore[assignment]
    scores = np.array([s for one in judged for s in one["scores"]], float)
    labels = np.array([d for one in judged for d in one["defective"]], bool)
    domains = np.array([d for one in judged for d in one["domains"]])
    each = [auroc(scores[domains == d], labels[domains == d]) for d in sorted(set(domains))]
    return {"pooled": auroc(scores, labels), "mean": float(np.nanmean(each))}


def joined(curves: Sequence[Sequence[Mapping[str, object]]]) -> list[dict[str, object]]:
    """Several runs beside each other as one curve."""
    rows: list[dict[str, object]] = []
    for beside in zip(*curves, strict=True):
        judged = [one for row in beside for one in row["judged"]]
        traffic = max(int(str(row["bytes"])) for row in beside)
        row = {**beside[0], "judged": judged, "bytes": traffic}
        rows.append({"round": row["round"], "bytes": traffic, **figures(row)})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench federated", description=__doc__)
    parser.add_argument("experiment", choices=list(EXPERIMENTS))
    parser.add_argument("--data", required=True, help="as for `splitsight cloud train --data`")
    parser.add_argument("--out", type=Path, default=Path("runs/federated"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    options = parser.parse_args(arguments)
    log.configure(level=40)
    for seed in options.seeds:
        bench = Bench(EXPERIMENTS[options.experiment], options.data, options.out, seed)
        for variant in VARIANTS:
            if variant in options.variants:
                bench.run(variant)


if __name__ == "__main__":
    main()
