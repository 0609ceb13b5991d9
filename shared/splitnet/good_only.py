"""A network that judges by what good parts look like, at both of its ends.

Its features come from any training; only how they are judged is replaced. What that takes of a
site's pictures are sums, so sites can share a model of good parts without moving pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from shared.splitnet.gaussian import FeatureSums, GaussianHead, Scale
from shared.splitnet.network import SplitNet
from shared.splitnet.objective import SYMBOL_LIMIT

T = TypeVar("T")


class Ends(NamedTuple, Generic[T]):
    """One thing of the head and the same of the tail."""

    head: T
    tail: T


@torch.no_grad()
def judge_logits(net: SplitNet, picture: Tensor) -> Ends[Tensor]:
    """Both ends' scores of pictures, uint8 or float32 (n, c, h, w): logits, float32 (n,)."""
    features, _, edge = net.head(picture)
    symbols = features.float().round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
    return Ends(edge.float(), net.tail(symbols).score.float())


def judged_features(net: SplitNet, picture: Tensor) -> Ends[Tensor]:
    """What the map heads of both ends are given to judge, float32 (n, channels, h/8, w/8); the
    tail's as decoded from the bottleneck's symbols.
    """

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[module] = inputs[0].float()

    seen: dict[nn.Module, Tensor] = {}
    ends = (net.head.map_head, net.tail.map_head)
    hooks = [module.register_forward_pre_hook(keep) for module in ends]
    try:
        judge_logits(net, picture)
    finally:
        for hook in hooks:
            hook.remove()
    return Ends(seen[ends[0]], seen[ends[1]])


def sum_features(net: SplitNet, batches: Iterable[Tensor]) -> Ends[FeatureSums]:
    """Sums over one or more batches of pictures of good parts, (n, c, h, w) each.

    Those of several sites are added end by end. Raises TrainingError for features that can't be
    summed.
    """
    sums = [
        Ends(*(FeatureSums.of(features.numpy()) for features in judged_features(net, batch)))
        for batch in batches
    ]
    return Ends(reduce(add, (one.head for one in sums)), reduce(add, (one.tail for one in sums)))


def judging_by_good_parts(net: SplitNet, sums: Ends[FeatureSums]) -> SplitNet:
    """A copy whose ends score the logarithm of the distance from good parts, not yet to scale.

    Raises TrainingError where the good parts do not differ.
    """
    judging = copy.deepcopy(net).eval()
    for end, of_end in zip((judging.head, judging.tail), sums, strict=True):
        end.register_module("map_head", GaussianHead.of(of_end.gaussian()))
    return judging


def set_scales(net: SplitNet, batches: Iterable[Tensor]) -> None:
    """Give the scores of a network that judges by good parts their scale, in place.

    batches   pictures of good parts that shaped nothing, (n, c, h, w) each
    Raises TrainingError where they score alike.
    """
    logits = [judge_logits(net, batch) for batch in batches]
    for end, scores in zip((net.head, net.tail), zip(*logits, strict=True), strict=True):
        assert isinstance(end.map_head, GaussianHead)
        end.map_head.rescale(Scale.of(torch.cat(scores).numpy()))
