"""How many bits the rounded bottleneck costs: a factorised entropy model.

Each channel's values are taken as independent draws from a mixture of logistics (a
parametric form of the factorised prior of Ballé et al. 2018, used for split features by
Matsubara et al., *Entropic Student*, WACV 2022).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FactorisedEntropy(nn.Module):
    """Bits of bottleneck features under one learned mixture of logistics a channel."""

    def __init__(self, channels: int, components: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, components))
        spread = torch.linspace(-2.0, 2.0, components)
        self.mean = nn.Parameter(spread.repeat(channels, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, components))

    def forward(self, features: Tensor) -> Tensor:
        """Bits a picture: features (n, channels, h, w), noisy or rounded → (n,)."""
        values = features.float().unsqueeze(2)
        shape = (1, *self.mean.shape, 1, 1)
        mean = self.mean.view(shape)
        scale = self.log_scale.clamp(-4, 4).exp().view(shape)
        weight = self.weight.softmax(dim=1).view(shape)
        upper = torch.sigmoid((values + 0.5 - mean) / scale)
        lower = torch.sigmoid((values - 0.5 - mean) / scale)
        probability = (weight * (upper - lower)).sum(dim=2).clamp_min(1e-6)
        bits: Tensor = -probability.log().sum(dim=(1, 2, 3)) / math.log(2)
        return bits
