"""What somebody who alters the symbols on their way, by one step each, makes of the verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.evaluation.judgements import Judgements, open_tail, tail_scores
from cloud.evaluation.verdicts import verdicts
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.bundles.robustness import Adversary, Answers
from shared.certification.gate import Gate
from shared.certification.scores import NovelPictures
from shared.console import track
from shared.errors import BundleError, DataError
from shared.features.novelty import Novelty
from shared.features.transmission import BATCH, weighed
from shared.splitnet.export import DeployedTail
from shared.splitnet.torch_runtime import rebuilt_tail

STEPS = 24
# Of a quantisation step, by which the first steps of descent move a symbol.
PACE = 0.1
# The cost of looking novel, logits a unit of distance, and the distance from which it counts.
STRICTNESS = 2.0
ROOM = 0.8
# The slope of a root has no end at 0, where a channel is flat.
FLAT = 1e-12

Symbols = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Reach:
    """How far each symbol may be moved: `step` up or down, within the codec's `limit`.

    sent   symbols as they arrive unaltered, int8 (n, channels, height, width)
    step   of each picture, (n,): its coarseness, since a coarser symbol's step is longer
    """

    sent: Symbols
    step: NDArray[np.int64]
    limit: int

    def moved(self, steps: NDArray[np.int8]) -> Symbols:
        """By -1, 0 or 1 steps each, int8 as `sent`."""
        far = self.sent.astype(np.int64) + steps * self.step[:, None, None, None]
        return np.asarray(far.clip(-self.limit, self.limit), np.int8)


class Attacked(NamedTuple):
    """Symbols, and what the shipped tail says of them, (n,)."""

    symbols: Symbols
    scores: NDArray[np.float64]


def attack(
    bundle: Bundle,
    dataset: Dataset,
    found: Judgements,
    *,
    runtime: str = "auto",
    threads: int = 0,
    seed: int = 0,
) -> Adversary:
    """Lower the tail's score of the defective pictures that the gate sends up.

    The gradient is that of the tail rebuilt in torch, and of the novelty where it is looked for:
    who knows the tail knows that too. What is found (projected gradient descent, Madry et al.,
    ICLR 2018, with Adam's steps) is rounded to whole symbols, and judged by the tail that is
    shipped.
    found   what was said of the same samples
    seed    of chance
    Raises DataError where no defective picture is sent up, BundleError for a tail that was not
    exported by splitsight, RuntimeUnavailable without a backend.
    """
    gate = bundle.manifest.gate.gate
    said = verdicts(gate, found.edge, found.cloud, found.novel)
    chosen = np.flatnonzero(said.escalated & dataset.labels)
    if not len(chosen):
        raise DataError(
            f"of the {int(dataset.labels.sum())} defective pictures the gate sends none up, so "
            "that nothing on its way can be altered",
            fix="leave out --adversarial, or give data with defective parts that are sent up",
        )
    if threads:
        torch.set_num_threads(threads)
    tail = open_tail(bundle, runtime, threads)
    reach = Reach(found.arrived[chosen], found.coarseness[chosen], bundle.codec.limit)
    before = tail_scores(tail, reach.sent)
    worst = Descent(_rebuilt(bundle), reach, bundle.novelty).lowest()
    changed = worst != reach.sent
    after = tail_scores(tail, worst)
    rng = np.random.default_rng(seed)
    chance = Attacked(reach.sent, before)
    for _ in track(range(STEPS), "moving symbols by chance"):
        steps = np.where(changed, rng.choice((-1, 1), changed.shape), 0).astype(np.int8)
        moved = reach.moved(steps)
        chance = _lower(chance, Attacked(moved, tail_scores(tail, moved)))

    def answers(one: Attacked) -> Answers:
        novel = None
        if bundle.novelty is not None and found.novel is not None:
            novel = NovelPictures(found.novel.edge[chosen], bundle.novelty.novel(one.symbols))
        return _answers(gate, found.edge[chosen], one.scores, novel)

    return Adversary(
        pictures=len(chosen),
        steps=STEPS,
        changed=float(changed.mean()),
        sent=answers(Attacked(reach.sent, before)),
        chance=answers(chance),
        worst=answers(Attacked(worst, after)),
        lowered=float(np.median(before - after)),
        by_chance=float(np.median(before - chance.scores)),
    )


def _rebuilt(bundle: Bundle) -> DeployedTail:
    try:
        return rebuilt_tail(bundle.read(TAIL))
    except ValueError as error:
        raise BundleError(
            f"{bundle.path.name} has a tail whose gradient nobody knows ({error})",
            fix="leave out --adversarial, or give a bundle that `splitsight cloud train` wrote",
        ) from error


def _answers(
    gate: Gate,
    edge: NDArray[np.float64],
    scores: NDArray[np.float64],
    novel: NovelPictures | None,
) -> Answers:
    cloud = weighed(gate, edge, scores)
    system = verdicts(gate, edge, cloud, novel).system
    unguarded = verdicts(gate, edge, cloud, None).system
    passed, rejected = int(system.passed.sum()), int(system.rejected.sum())
    return Answers(
        passed=passed,
        reviewed=len(edge) - passed - rejected,
        rejected=rejected,
        novel=int((unguarded.passed & ~system.passed).sum()),
        score=float(np.median(scores)),
    )


def _lower(one: Attacked, other: Attacked) -> Attacked:
    """Of each picture the symbols with the lower score."""
    lower = other.scores < one.scores
    symbols = np.where(lower[:, None, None, None], other.symbols, one.symbols)
    return Attacked(np.asarray(symbols, np.int8), np.minimum(one.scores, other.scores))


class Descent:
    """Projected gradient descent on a tail's score, from symbols and within their reach.

    novelty   what must go on calling them known, which the descent heeds; None: nothing
    """

    def __init__(self, tail: DeployedTail, reach: Reach, novelty: Novelty | None) -> None:
        self._tail = tail.requires_grad_(False)
        self._reach = reach
        self._novelty = novelty

    def lowest(self) -> Symbols:
        """The whole symbols of lowest score that were met on the way, the unaltered included."""
        reach = self._reach
        starts = range(0, len(reach.sent), BATCH)
        found: list[Symbols] = []
        for start in track(starts, "looking for the worst symbols"):
            few = slice(start, start + BATCH)
            found.append(self._descend(Reach(reach.sent[few], reach.step[few], reach.limit)))
        return np.concatenate(found)

    def _descend(self, reach: Reach) -> Symbols:
        places = torch.zeros(reach.sent.shape, requires_grad=True)
        stepping = torch.optim.Adam([places], lr=PACE)
        best = Attacked(reach.sent, self._scores(reach.sent))
        for _ in range(STEPS):
            cost = self._cost(_placed(reach, places))
            (places.grad,) = torch.autograd.grad(cost, places)
            stepping.step()
            with torch.no_grad():
                places.clamp_(-1, 1)
            whole = reach.moved(np.rint(places.detach().numpy()).astype(np.int8))
            best = _lower(best, Attacked(whole, self._scores(whole)))
        return best.symbols

    def _cost(self, symbols: torch.Tensor) -> torch.Tensor:
        cost: torch.Tensor = self._tail.tail(symbols).score
        if self._novelty is not None:
            cost = cost + STRICTNESS * (distances(self._novelty, symbols) - ROOM).clamp(min=0)
        return cost.sum()

    def _scores(self, symbols: Symbols) -> NDArray[np.float64]:
        """Logits; infinite for what does not look known."""
        with torch.inference_mode():
            score = self._tail.tail(torch.from_numpy(symbols.astype(np.float32))).score
        found = np.asarray(score.numpy(), np.float64)
        if self._novelty is None:
            return found
        return np.where(self._novelty.novel(symbols), np.inf, found)


def _placed(reach: Reach, places: torch.Tensor) -> torch.Tensor:
    """Symbols, float32, at these shares of a step from where they were."""
    step = torch.from_numpy(reach.step.astype(np.float32))[:, None, None, None]
    sent = torch.from_numpy(reach.sent.astype(np.float32))
    return (sent + places * step).clamp(-reach.limit, reach.limit)


def distances(novelty: Novelty, symbols: torch.Tensor) -> torch.Tensor:
    """As `Novelty.distances`, with a gradient."""
    flat = symbols.flatten(2)
    spread = (flat.var(dim=2, unbiased=False) + FLAT).sqrt()
    summary = torch.cat([flat.mean(dim=2), spread], dim=1)
    apart = summary @ torch.from_numpy(novelty.directions).T - torch.from_numpy(novelty.centre)
    return apart.square().sum(dim=1)
