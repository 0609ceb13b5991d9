"""A split network that judges by what good parts look like, at both of its ends.

Its features come from any training; only how they are judged is replaced. What that takes of a
site's pictures are sums, so sites can share a model of good parts without moving pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.splitnet.gaussian import FeatureSums, GaussianHead, Scale
from shared.splitnet.network import Features, Head, SplitNet, Tail, TailOutput
from shared.splitnet.objective import SYMBOL_LIMIT

T = TypeVar("T")
MAP_HEAD = "map_head"


class Ends(NamedTuple, Generic[T]):
    """One thing of the head and the same of the tail."""

    head: T
    tail: T


class GoodHead(Head):
    """A head that judges by good parts: what it sees at a sixteenth of the input."""

    @classmethod
    def convert(cls, head: Head, gaussian: GaussianHead) -> None:
        """Turn a head into one, in place, without the layers that it no longer needs."""
        head.__class__ = cls
        for unused in ("map_fine", "map_coarse"):
            head.register_module(unused, nn.Identity())
        head.register_module(MAP_HEAD, gaussian)

    def judge(self, features: Features) -> tuple[Tensor, Tensor]:
        logits, score = self.map_head(features.coarse)
        return logits, score


class GoodTail(Tail):
    """A tail that judges by good parts: what it sees at a sixteenth of the input."""

    @classmethod
    def convert(cls, tail: Tail, gaussian: GaussianHead) -> None:
        """Turn a tail into one, in place, without the layers that it no longer needs."""
        tail.__class__ = cls
        tail.blocks = tail.blocks[: tail.middle_at + 1]
        for unused in ("fine", "middle", "deep"):
            tail.register_module(unused, nn.Identity())
        tail.kinds = None
        tail.register_module(MAP_HEAD, gaussian)

    def judge(self, features: Features) -> TailOutput:
        logits, score = self.map_head(middle_features(self, features))
        return TailOutput(logits, score, None)


def middle_features(tail: Tail, features: Features) -> Tensor:
    """What a tail sees at a sixteenth of the input: float32 (n, channels, h/16, w/16)."""
    middle = features.coarse
    for block in tail.blocks[: tail.middle_at + 1]:
        middle = block(middle)
    return middle


def adopt_gaussian(tail: Tail, weights: Mapping[str, NDArray[np.float32]], prefix: str) -> None:
    """Make a tail one that judges by good parts where its exported weights are of such a one.

    prefix   of the tail's names among the weights
    """
    mean = weights.get(f"{prefix}{MAP_HEAD}.mean")
    if mean is not None:
        GoodTail.convert(tail, GaussianHead(*mean.shape[1:]))


@torch.no_grad()
def sum_features(net: SplitNet, batches: Iterable[Tensor]) -> Ends[FeatureSums]:
    """Sums over one or more batches of pictures of good parts, uint8 (n, c, h, w) each; the
    tail's over what is decoded from the bottleneck's symbols.

    Those of several sites are added end by end. Raises TrainingError for features that can't be
    summed.
    """
    heads, tails = [], []
    for picture in batches:
        features = net.head.shared_features(picture)
        decoded = net.tail.decoder(_symbols(net.head.encode(features)))
        heads.append(FeatureSums.of(features.coarse.numpy()))
        tails.append(FeatureSums.of(middle_features(net.tail, decoded).numpy()))
    return Ends(reduce(add, heads), reduce(add, tails))


def judging_by_good_parts(net: SplitNet, sums: Ends[FeatureSums]) -> SplitNet:
    """A copy whose ends score the logarithm of the distance from good parts, not yet to scale.

    Raises TrainingError where the good parts do not differ.
    """
    judging = copy.deepcopy(net).eval()
    GoodHead.convert(judging.head, GaussianHead.of(sums.head.gaussian()))
    GoodTail.convert(judging.tail, GaussianHead.of(sums.tail.gaussian()))
    return judging


@torch.no_grad()
def judge_logits(net: SplitNet, picture: Tensor) -> Ends[Tensor]:
    """Both ends' scores of pictures, uint8 (n, c, h, w): logits, float32 (n,)."""
    features, _, edge = net.head(picture)
    return Ends(edge, net.tail(_symbols(features)).score)


def set_scales(net: SplitNet, batches: Iterable[Tensor]) -> None:
    """Give the scores of a network that judges by good parts their scale, in place.

    batches   pictures of good parts that shaped nothing, uint8 (n, c, h, w) each
    Raises TrainingError where they score alike.
    """
    logits = [judge_logits(net, picture) for picture in batches]
    for end, scores in zip((net.head, net.tail), zip(*logits, strict=True), strict=True):
        gaussian = end.get_submodule(MAP_HEAD)
        assert isinstance(gaussian, GaussianHead)
        gaussian.rescale(Scale.of(torch.cat(scores).numpy()))


def _symbols(features: Tensor) -> Tensor:
    return features.round().clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT)
