"""What the split network is trained for: right verdicts at both ends, and few bits between.

Three stages (docs/decisions/0006): the whole network on pixels, head and tail together; the tail
anew behind the finished head; then the bottleneck between them, which is to change nothing of what
the tail says (after *Entropic Student*, Matsubara et al., WACV 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from shared.splitnet.network import (
    Features,
    SplitNet,
    TailOutput,
    add_rounding_noise,
    round_straight_through,
)

SYMBOL_LIMIT = 31


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts.

    edge     the head's own score and map
    tail     the tail's score and map
    map      the map's error where masks are known, beside the score's
    kinds    telling kinds of defects apart
    guide    following a teacher, or behind the bottleneck the tail's judgement of true features
    decode   how far the decoded features are from the true ones, relative to their variance
    rate     per bit and place of the bottleneck
    """

    edge: float = 1.0
    tail: float = 1.0
    map: float = 4.0
    kinds: float = 0.2
    guide: float = 1.0
    decode: float = 1.0
    rate: float = 0.008


class Losses(NamedTuple):
    """One batch's terms, each a scalar; `bits` is the mean a picture. Terms that a stage does
    not have are zero."""

    total: Tensor
    edge: Tensor
    tail: Tensor
    decode: Tensor
    bits: Tensor


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Labelled pictures.

    picture  uint8 or float32 (n, c, h, w), 0–255
    target   float32 (n,), how surely each is defective, 0–1
    mask     float32 (n, h/8, w/8), how surely each place is
    masked   bool (n,), whether the mask is known
    kind     int64 (n,), which kind of defect; -1 where there is none or it is unknown
    """

    picture: Tensor
    target: Tensor
    mask: Tensor
    masked: Tensor
    kind: Tensor


class Guide(NamedTuple):
    """A judgement to follow: logits of the map (n, 1, h/8, w/8) and of the score (n,)."""

    map: Tensor
    score: Tensor


def pixel_losses(
    net: SplitNet, batch: TrainingBatch, weights: Weights, guide: Guide | None
) -> Losses:
    """First stage: both ends judge the true features of the pictures."""
    features = net.head.shared_features(batch.picture)
    edge_map, edge_score = net.head.judge(features)
    judged = net.tail.judge(features)
    edge = judgement_loss(edge_map, edge_score, batch, weights.map)
    tail = judgement_loss(judged.map, judged.score, batch, weights.map)
    total = weights.edge * edge + weights.tail * tail + weights.kinds * kinds_loss(judged, batch)
    if guide is not None:
        follow = guide_loss(edge_map, edge_score, guide, weights.map)
        follow = follow + guide_loss(judged.map, judged.score, guide, weights.map)
        total = total + weights.guide * follow
    nothing = torch.zeros(())
    return Losses(total, edge.detach(), tail.detach(), nothing, nothing)


def tail_losses(
    net: SplitNet, truth: Features, batch: TrainingBatch, weights: Weights, guide: Guide | None
) -> Losses:
    """Second stage: the tail alone judges the true features, which come without gradient."""
    judged = net.tail.judge(truth)
    tail = judgement_loss(judged.map, judged.score, batch, weights.map)
    total = weights.tail * tail + weights.kinds * kinds_loss(judged, batch)
    if guide is not None:
        total = total + weights.guide * guide_loss(judged.map, judged.score, guide, weights.map)
    nothing = torch.zeros(())
    return Losses(total, nothing, tail.detach(), nothing, nothing)


def bottleneck_losses(
    net: SplitNet,
    truth: Features,
    weights: Weights,
    *,
    guided: bool,
    wanted: Features | None = None,
    generator: torch.Generator | None = None,
) -> Losses:
    """Third stage: what passes the bottleneck is to be judged as the true features are.

    truth      the head's features of a batch, without gradient
    guided     follow the tail's judgement of them too, beside the features themselves
    wanted     the features that the tail was trained on, where the head has changed since
    generator  of the rounding noise; torch's own where there is none
    """
    features = net.head.encode(truth).float()
    truth = truth if wanted is None else wanted
    bits = net.entropy(add_rounding_noise(features, generator)).mean()
    decoded = net.tail.decoder(round_straight_through(features, SYMBOL_LIMIT))
    decode = decode_loss(decoded, truth)
    places = features.shape[2] * features.shape[3]
    total = weights.decode * decode + weights.rate * bits / places
    nothing = torch.zeros(())
    if not guided:
        return Losses(total, nothing, nothing, decode.detach(), bits.detach())
    with torch.no_grad():
        true = net.tail.judge(truth)
    guide = Guide(true.map.float(), true.score.float())
    judged = net.tail.judge(decoded)
    follow = guide_loss(judged.map, judged.score, guide, weights.map)
    total = total + weights.guide * follow
    return Losses(total, nothing, follow.detach(), decode.detach(), bits.detach())


def decode_loss(decoded: Features, truth: Features) -> Tensor:
    """Mean squared error relative to each channel's variance, averaged over both scales."""
    terms = []
    for found, wanted in zip(decoded, truth, strict=True):
        true = wanted.detach().float()
        spread = true.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3)
        terms.append(((found.float() - true) / spread).square().mean())
    return torch.stack(terms).mean()


def judgement_loss(
    logits: Tensor, score: Tensor, batch: TrainingBatch, map_weight: float
) -> Tensor:
    """Cross-entropy of the image score, and of the defect map where it is known.

    Places are few that are defective, so the map's error is averaged over defective and sound
    places apart.
    """
    image = functional.binary_cross_entropy_with_logits(score.float(), batch.target)
    if not bool(batch.masked.any()):
        return image
    return image + map_weight * _map_loss(
        logits.float().squeeze(1)[batch.masked], batch.mask[batch.masked]
    )


def guide_loss(logits: Tensor, score: Tensor, guide: Guide, map_weight: float) -> Tensor:
    """Cross-entropy against what the guide says (Hinton et al. 2015), score and map."""
    image = functional.binary_cross_entropy_with_logits(score.float(), guide.score.sigmoid())
    places = _map_loss(logits.float().squeeze(1), guide.map.sigmoid().squeeze(1))
    return image + map_weight * places


def _map_loss(logits: Tensor, truth: Tensor) -> Tensor:
    places = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    defective = (places * truth).sum() / truth.sum().clamp_min(1.0)
    sound = (places * (1 - truth)).sum() / (1 - truth).sum().clamp_min(1.0)
    return 0.2 * defective + 0.8 * sound


def kinds_loss(judged: TailOutput, batch: TrainingBatch) -> Tensor:
    """Cross-entropy of the kind of defect, over the pictures whose kind is known."""
    known = batch.kind >= 0
    if judged.kinds is None or not bool(known.any()):
        return torch.zeros(())
    return functional.cross_entropy(judged.kinds.float()[known], batch.kind[known])


@torch.no_grad()
def judge(net: SplitNet, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edge score, tail score (both probabilities, float32 (n,)) and bits a picture (n,)."""
    features, _, edge = net.head(picture)
    rounded = features.float().round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
    tail = net.tail(rounded).score
    return edge.float().sigmoid(), tail.float().sigmoid(), net.entropy(rounded)


@torch.no_grad()
def judge_pixels(net: SplitNet, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Edge score and the tail's score without the bottleneck, probabilities, float32 (n,)."""
    features = net.head.shared_features(picture)
    edge, tail = net.head.judge(features)[1], net.tail.judge(features).score
    return edge.float().sigmoid(), tail.float().sigmoid()
