"""The head as it will run: norms folded into convolutions, logits as probabilities."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.splitnet.backbone import conv_norm_pairs
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
    for owner, conv_name, norm_name in conv_norm_pairs(fused):
        conv, norm = getattr(owner, conv_name), getattr(owner, norm_name)
        setattr(owner, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(owner, norm_name, nn.Identity())
    return fused
