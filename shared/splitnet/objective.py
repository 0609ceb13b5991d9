"""What the split network is trained for: right verdicts at both ends, and few bits between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from shared.splitnet.network import SplitNet, add_rounding_noise, round_straight_through

SYMBOL_LIMIT = 31


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts.

    edge     the head's own score and map
    tail     the tail's score and map through the bottleneck
    map      the map's error where masks are known
    decode   how far the decoded features are from the true ones, relative to their variance
    rate     per bit and place of the bottleneck
    """

    edge: float = 1.0
    tail: float = 1.0
    map: float = 4.0
    decode: float = 2.0
    rate: float = 0.02


@dataclass(frozen=True, slots=True)
class Losses:
    """One batch's terms, each a scalar; `bits` is the mean a picture, for the progress bar."""

    total: Tensor
    edge: Tensor
    tail: Tensor
    decode: Tensor
    bits: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Labelled pictures.

    picture  uint8 or float32 (n, c, h, w), 0–255
    target   float32 (n,), how surely each is defective, 0–1
    mask     float32 (n, h/8, w/8), how surely each place is
    masked   bool (n,), whether the mask is known
    """

    picture: Tensor
    target: Tensor
    mask: Tensor
    masked: Tensor


def losses(net: SplitNet, batch: Batch, weights: Weights, *, apart: bool) -> Losses:
    """The training objective on one batch.

    apart    the first stage: the tail learns on true features while the bottleneck learns to
             pass them on; together from the start, the tail's gradients keep the bottleneck
             from learning anything (docs/decisions/0006)
    """
    shared = net.head.shared_features(batch.picture)
    edge_map, edge_score = net.head.map_head(shared)
    features = net.head.encoder(shared.detach() if apart else shared).float()
    bits = net.entropy(add_rounding_noise(features)).mean()
    decoded = net.tail.decode(round_straight_through(features, SYMBOL_LIMIT))
    tail_map, tail_score = net.tail.judge(shared if apart else decoded)
    truth = shared.detach().float()
    spread = truth.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-3)
    decode = ((decoded.float() - truth) / spread).square().mean()
    edge = judgement_loss(edge_map, edge_score, batch, weights.map)
    tail = judgement_loss(tail_map, tail_score, batch, weights.map)
    places = features.shape[2] * features.shape[3]
    total = (
        weights.edge * edge
        + weights.tail * tail
        + weights.decode * decode
        + weights.rate * bits / places
    )
    return Losses(total, edge.detach(), tail.detach(), decode.detach(), bits.detach())


def judgement_loss(logits: Tensor, score: Tensor, batch: Batch, map_weight: float) -> Tensor:
    """Cross-entropy of the image score, and of the defect map where it is known.

    Places are few that are defective, so the map's error is averaged over defective and sound
    places apart.
    """
    image = functional.binary_cross_entropy_with_logits(score.float(), batch.target)
    if not bool(batch.masked.any()):
        return image
    truth = batch.mask[batch.masked]
    places = functional.binary_cross_entropy_with_logits(
        logits.float().squeeze(1)[batch.masked], truth, reduction="none"
    )
    defective = (places * truth).sum() / truth.sum().clamp_min(1.0)
    sound = (places * (1 - truth)).sum() / (1 - truth).sum().clamp_min(1.0)
    return image + map_weight * (0.2 * defective + 0.8 * sound)


@torch.no_grad()
def judge(net: SplitNet, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edge score, tail score (both probabilities, float32 (n,)) and bits a picture (n,)."""
    features, _, edge = net.head(picture)
    rounded = features.float().round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
    _, tail = net.tail(rounded)
    return edge.float().sigmoid(), tail.float().sigmoid(), net.entropy(rounded)
