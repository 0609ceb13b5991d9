"""The head as it will run: norms folded into convolutions, logits as probabilities."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.splitnet.network import Head


class DeployedHead(nn.Module):
    """In: uint8 (1, c, h, w). Out: features float32, defect map and score as probabilities."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, logits, score = self.head(picture)
        return features, logits.sigmoid(), score.sigmoid()


def fuse_norms(module: Any) -> Any:
    """A copy in which every batch norm is folded into the convolution before it."""
    fused = copy.deepcopy(module).eval()
    for owner, conv_name, norm_name in _conv_norm_pairs(fused):
        conv, norm = getattr(owner, conv_name), getattr(owner, norm_name)
        setattr(owner, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(owner, norm_name, nn.Identity())
    return fused


def _conv_norm_pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Neighbouring children that are a convolution and its batch norm, in every submodule."""
    for owner in list(module.modules()):
        children = list(owner.named_children())
        if not isinstance(owner, nn.Sequential):
            # EfficientNet's blocks keep activations last, so neighbours still pair up.
            children = [c for c in children if isinstance(c[1], nn.Conv2d | nn.BatchNorm2d)]
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield owner, first, second
