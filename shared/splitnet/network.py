"""The split network: a head for the edge, a learned bottleneck, a tail for the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.splitnet.backbone import BLOCK_CHANNELS, BLOCK_STRIDES, load_backbone
from shared.splitnet.entropy import FactorisedEntropy


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is needed to build the same network again.

    height, width   of the input, pixels, multiples of 32
    channels        1 (grey) or 3 (BGR)
    split_block     the last block of EfficientNet-Lite0 on the edge; its stride must be 8
    bottleneck      channels sent to the cloud, at a sixteenth of the input's height and width
    """

    height: int = 224
    width: int = 224
    channels: int = 1
    split_block: int = 4
    bottleneck: int = 16


def block_unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU6: what integer hardware runs fastest."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class MapHead(nn.Module):
    """Features → defect map (logits) and image score (logit).

    The score adds the mean of the map's highest `share` of places to a judgement of the whole
    picture, so that both a hairline crack and a dull cell can raise it.
    """

    def __init__(self, inputs: int, hidden: int, places: int, share: float = 0.015) -> None:
        super().__init__()
        self.local = block_unit(inputs, hidden)
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 5, 1, 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
        )
        self.map = nn.Conv2d(hidden, 1, 1)
        self.whole = nn.Linear(hidden, 1)
        self.top = max(1, round(places * share))
        nn.init.constant_(self.map.bias, -2.0)  # type: ignore[arg-type]
        nn.init.zeros_(self.whole.weight)
        nn.init.zeros_(self.whole.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.depthwise(self.local(features))
        logits: Tensor = self.map(hidden)
        top = logits.flatten(1).topk(self.top, dim=1, sorted=False).values.mean(dim=1)
        whole: Tensor = self.whole(hidden.mean(dim=(2, 3)))
        return logits, top + whole.squeeze(1)


class Head(nn.Module):
    """The edge half.

    In: uint8 (n, channels, height, width). Out: bottleneck features, float32
    (n, bottleneck, height/16, width/16), before rounding; defect map, float32
    (n, 1, height/8, width/8), logits; image score (n,), logit.
    """

    def __init__(self, architecture: Architecture, stem: nn.Module, blocks: nn.ModuleList) -> None:
        super().__init__()
        inputs = BLOCK_CHANNELS[architecture.split_block]
        places = architecture.height * architecture.width // 64
        self.stem = stem
        self.blocks = blocks
        self.frozen = 0
        self.map_head = MapHead(inputs, 48, places)
        self.encoder = nn.Sequential(
            block_unit(inputs, inputs, stride=2),
            nn.Conv2d(inputs, architecture.bottleneck, 1, bias=False),
            nn.BatchNorm2d(architecture.bottleneck),
        )
        # Wide enough at the start for rounding to leave something; the rate term narrows it.
        norm = self.encoder[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.constant_(norm.weight, 2.5)

    def freeze(self, blocks: int) -> None:
        """Keep the stem and the first `blocks` blocks as they are: ImageNet's edges and spots
        serve as well here, and their gradients cost a third of a training step."""
        self.frozen = blocks
        for layer in (self.stem, *self.blocks[:blocks]):
            layer.requires_grad_(False)

    def shared_features(self, picture: Tensor) -> Tensor:
        """Features at the split point, float32 (n, c, height/8, width/8)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features: Tensor = self.stem(picture)
            for block in self.blocks[: self.frozen]:
                features = block(features)
        for block in self.blocks[self.frozen :]:
            features = block(features)
        return features

    def train(self, mode: bool = True) -> Self:
        """As in torch, but frozen blocks keep their running statistics."""
        super().train(mode)
        if self.frozen:
            self.stem.eval()
            self.blocks[: self.frozen].eval()
        return self

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.shared_features(picture)
        logits, score = self.map_head(shared)
        features: Tensor = self.encoder(shared)
        return features, logits, score


class Tail(nn.Module):
    """The cloud half.

    In: rounded bottleneck features, float32 (n, bottleneck, height/16, width/16).
    Out: defect map, float32 (n, 1, height/8, width/8), logits; image score (n,), logit.
    """

    def __init__(self, architecture: Architecture, blocks: nn.ModuleList) -> None:
        super().__init__()
        channels = BLOCK_CHANNELS[architecture.split_block]
        places = architecture.height * architecture.width // 64
        wide = 4 * channels
        self.decoder_in = block_unit(architecture.bottleneck, wide)
        self.decoder_mix = block_unit(wide, wide)
        self.decoder_out = nn.Conv2d(wide, wide, 1)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.refine = nn.Sequential(
            block_unit(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1)
        )
        self.blocks = blocks
        self.middle_at = 10 - architecture.split_block - 1
        self.fine = nn.Conv2d(channels, 64, 1)
        self.middle = nn.Conv2d(BLOCK_CHANNELS[10], 64, 1)
        self.deep = nn.Conv2d(BLOCK_CHANNELS[15], 64, 1)
        self.map_head = MapHead(64, 64, places)

    def decode(self, features: Tensor) -> Tensor:
        """The split point's features back from the bottleneck: (n, c, height/8, width/8)."""
        hidden = self.decoder_in(features)
        hidden = hidden + self.decoder_mix(hidden)
        coarse = functional.pixel_shuffle(self.decoder_out(hidden), 2)
        refined: Tensor = coarse + self.refine(coarse)
        return refined * self.scale + self.shift

    def expect(self, features: Tensor) -> None:
        """Start decoding at the level and spread of true features at the split point."""
        with torch.no_grad():
            self.scale.copy_(features.std(dim=(0, 2, 3)).view(-1, 1, 1))
            self.shift.copy_(features.mean(dim=(0, 2, 3)).view(-1, 1, 1))

    def judge(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Defect map and score from features at the split point."""
        deep = features
        middle = features
        for index, block in enumerate(self.blocks):
            deep = block(deep)
            if index == self.middle_at:
                middle = deep
        pyramid = self.middle(middle) + functional.interpolate(
            self.deep(deep), scale_factor=2.0, mode="nearest"
        )
        pyramid = self.fine(features) + functional.interpolate(
            pyramid, scale_factor=2.0, mode="nearest"
        )
        logits, score = self.map_head(functional.relu6(pyramid))
        return logits, score

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.judge(self.decode(features))


class SplitNet(nn.Module):
    """Head, entropy model of the bottleneck, and tail, trained as one network."""

    def __init__(self, architecture: Architecture, *, pretrained: bool = True) -> None:
        super().__init__()
        if BLOCK_STRIDES[architecture.split_block] != 8:
            raise ValueError("the split block must lie at stride 8 (blocks 3 or 4)")
        stem, blocks = load_backbone(
            architecture.height, architecture.width, architecture.channels, pretrained=pretrained
        )
        cut = architecture.split_block + 1
        self.architecture = architecture
        self.head = Head(architecture, stem, nn.ModuleList(blocks[:cut]))
        self.entropy = FactorisedEntropy(architecture.bottleneck)
        self.tail = Tail(architecture, nn.ModuleList(blocks[cut:]))


def round_straight_through(features: Tensor, limit: int) -> Tensor:
    """Round and clip to ±limit; the gradient passes as if nothing had happened."""
    rounded = features.round().clamp(-limit, limit)
    return features + (rounded - features).detach()


def add_rounding_noise(features: Tensor) -> Tensor:
    """Uniform noise in ±½, the differentiable stand-in for rounding in the rate term."""
    return features + torch.rand_like(features) - 0.5
