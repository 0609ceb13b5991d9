"""The split network: a head for the edge, a learned bottleneck, a tail for the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.errors import SettingsError
from shared.splitnet.backbone import FINE_STRIDE, LITE0, SPLIT_STRIDE, Backbone, load_backbone
from shared.splitnet.entropy import FactorisedEntropy

PYRAMID = 64
EDGE_HIDDEN = 48


@dataclass(frozen=True, slots=True)
class Architecture:
    """What is needed to build the same network again.

    height, width   of the input, pixels, multiples of 32
    channels        1 (grey) or 3 (BGR)
    split_block     the last block of the backbone on the edge; its stride must be 16
    bottleneck      channels sent to the cloud, at a sixteenth of the input's height and width
    kinds           kinds of defects that the tail tells apart; 0: none
    backbone        what it is cut from, by its entry point's name
    dropped_blocks  blocks at the backbone's end that the tail does without. The last holds a fifth
                    of all weights
    """

    height: int = 224
    width: int = 224
    channels: int = 1
    split_block: int = 8
    bottleneck: int = 32
    kinds: int = 0
    backbone: str = LITE0
    dropped_blocks: int = 1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """As `asdict` gave it, this version's or an earlier one's, whose tails had every block."""
        return cls(**{"dropped_blocks": 0, **values})


class Features(NamedTuple):
    """What the backbone sees at the split point.

    fine    float32 (n, c, height/8, width/8), after the last block of that stride
    coarse  float32 (n, c, height/16, width/16), after the split block
    """

    fine: Tensor
    coarse: Tensor


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

    def __init__(
        self, inputs: int, hidden: int, places: int, *, local: bool = True, share: float = 0.015
    ) -> None:
        """local: begin with a 3×3 convolution; else `inputs` must be `hidden`."""
        super().__init__()
        self.local = block_unit(inputs, hidden) if local else nn.Identity()
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

    def __init__(self, architecture: Architecture, backbone: Backbone) -> None:
        super().__init__()
        self.fine_at = backbone.last_of(FINE_STRIDE)
        fine, coarse = backbone.channels[self.fine_at], backbone.channels[architecture.split_block]
        self.stem = backbone.stem
        self.blocks = nn.ModuleList(backbone.blocks[: architecture.split_block + 1])
        self.frozen = 0
        self.judgement_kept: bool = False
        self.map_fine = nn.Conv2d(fine, EDGE_HIDDEN, 1)
        self.map_coarse = nn.Conv2d(coarse, EDGE_HIDDEN, 1)
        self.map_head = MapHead(EDGE_HIDDEN, EDGE_HIDDEN, _places(architecture), local=False)
        self.encoder_fine = block_unit(fine, fine, stride=2)
        self.encoder = nn.Sequential(
            nn.Conv2d(fine + coarse, architecture.bottleneck, 1, bias=False),
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

    def keep_judgement(self) -> None:
        """Keep everything but the encoder as it is: the later stages of training."""
        self.freeze(len(self.blocks))
        for layer in (self.map_fine, self.map_coarse, self.map_head):
            layer.requires_grad_(False)
        self.judgement_kept = True

    def shared_features(self, picture: Tensor) -> Features:
        """Features at the split point."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features: Tensor = self.stem(picture)
        fine = features
        for index, block in enumerate(self.blocks):
            learns = torch.is_grad_enabled() and index >= self.frozen
            with torch.set_grad_enabled(learns):
                features = block(features)
            if index == self.fine_at:
                fine = features
        return Features(fine, features)

    def judge(self, features: Features) -> tuple[Tensor, Tensor]:
        """Defect map and score from features at the split point."""
        context = functional.interpolate(
            self.map_coarse(features.coarse), scale_factor=2.0, mode="nearest"
        )
        logits, score = self.map_head(functional.relu6(self.map_fine(features.fine) + context))
        return logits, score

    def encode(self, features: Features) -> Tensor:
        """Bottleneck features, before rounding."""
        both = torch.cat([self.encoder_fine(features.fine), features.coarse], dim=1)
        encoded: Tensor = self.encoder(both)
        return encoded

    def train(self, mode: bool = True) -> Self:
        """As in torch, but frozen blocks keep their running statistics."""
        super().train(mode)
        if self.frozen:
            self.stem.eval()
            self.blocks[: self.frozen].eval()
        if self.judgement_kept:
            self.map_head.eval()
        return self

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.shared_features(picture)
        logits, score = self.judge(shared)
        return self.encode(shared), logits, score


class Scaled(nn.Module):
    """Per-channel scale and shift, so that decoding can start at the true features' level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def expect(self, features: Tensor) -> None:
        """Take level and spread of features (n, channels, h, w)."""
        with torch.no_grad():
            self.scale.copy_(features.std(dim=(0, 2, 3)).view(-1, 1, 1))
            self.shift.copy_(features.mean(dim=(0, 2, 3)).view(-1, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.scale + self.shift


class Decoder(nn.Module):
    """The split point's features back from the bottleneck's symbols."""

    def __init__(self, bottleneck: int, fine: int, coarse: int) -> None:
        super().__init__()
        wide = 4 * fine
        self.start = block_unit(bottleneck, wide)
        self.mix = block_unit(wide, wide)
        self.to_coarse = nn.Sequential(block_unit(wide, wide), nn.Conv2d(wide, coarse, 1))
        self.to_fine = nn.Conv2d(wide, wide, 1)
        self.refine = nn.Sequential(block_unit(fine, fine), nn.Conv2d(fine, fine, 3, 1, 1))
        self.coarse, self.fine = Scaled(coarse), Scaled(fine)

    def forward(self, symbols: Tensor) -> Features:
        hidden = self.start(symbols)
        hidden = hidden + self.mix(hidden)
        fine = functional.pixel_shuffle(self.to_fine(hidden), 2)
        fine = fine + self.refine(fine)
        return Features(self.fine(fine), self.coarse(self.to_coarse(hidden)))


class TailOutput(NamedTuple):
    """What the tail says.

    map     logits, float32 (n, 1, height/8, width/8)
    score   logit, float32 (n,)
    kinds   logits, float32 (n, kinds); None where it tells no kinds apart
    """

    map: Tensor
    score: Tensor
    kinds: Tensor | None


class Tail(nn.Module):
    """The cloud half.

    In: rounded bottleneck features, float32 (n, bottleneck, height/16, width/16).
    """

    def __init__(self, architecture: Architecture, backbone: Backbone) -> None:
        super().__init__()
        cut = architecture.split_block + 1
        fine_at, middle_at = backbone.last_of(FINE_STRIDE), backbone.last_of(SPLIT_STRIDE)
        fine, coarse = backbone.channels[fine_at], backbone.channels[architecture.split_block]
        self.judgement_kept: bool = False
        self.decoder = Decoder(architecture.bottleneck, fine, coarse)
        last = len(backbone.blocks) - 1 - architecture.dropped_blocks
        self.blocks = nn.ModuleList(backbone.blocks[cut : last + 1])
        self.middle_at = middle_at - cut
        self.fine = nn.Conv2d(fine, PYRAMID, 1)
        self.middle = nn.Conv2d(backbone.channels[middle_at], PYRAMID, 1)
        deep = backbone.channels[last]
        self.deep = nn.Conv2d(deep, PYRAMID, 1)
        self.map_head = MapHead(PYRAMID, PYRAMID, _places(architecture))
        self.kinds = nn.Linear(deep + PYRAMID, architecture.kinds) if architecture.kinds else None

    def keep_judgement(self) -> None:
        """Keep everything but the decoder as it is: the last stage of training."""
        self.requires_grad_(requires_grad=False)
        self.decoder.requires_grad_(requires_grad=True)
        self.judgement_kept = True

    def train(self, mode: bool = True) -> Self:
        """As in torch, but what is kept keeps its running statistics."""
        super().train(mode and not self.judgement_kept)
        self.training = mode
        self.decoder.train(mode)
        return self

    def judge(self, features: Features) -> TailOutput:
        """Defect map, score and kinds from features at the split point."""
        deep = middle = features.coarse
        for index, block in enumerate(self.blocks):
            deep = block(deep)
            if index == self.middle_at:
                middle = deep
        pyramid = self.middle(middle) + functional.interpolate(
            self.deep(deep), scale_factor=2.0, mode="nearest"
        )
        pyramid = functional.relu6(
            self.fine(features.fine)
            + functional.interpolate(pyramid, scale_factor=2.0, mode="nearest")
        )
        logits, score = self.map_head(pyramid)
        if self.kinds is None:
            return TailOutput(logits, score, None)
        # What kind it is stands where the map sees it, so look there.
        focus = logits.flatten(2).softmax(dim=2).to(pyramid.dtype)
        where = (pyramid.flatten(2) * focus).sum(dim=2)
        kinds = self.kinds(torch.cat([deep.mean(dim=(2, 3)), where], dim=1))
        return TailOutput(logits, score, kinds)

    def forward(self, symbols: Tensor) -> TailOutput:
        return self.judge(self.decoder(symbols))


def _places(architecture: Architecture) -> int:
    """Places of a defect map."""
    return architecture.height * architecture.width // FINE_STRIDE**2


class SplitNet(nn.Module):
    """Head, entropy model of the bottleneck, and tail, trained as one network."""

    def __init__(self, architecture: Architecture, *, pretrained: bool = True) -> None:
        super().__init__()
        a = architecture
        backbone = load_backbone(
            a.height, a.width, a.channels, name=a.backbone, pretrained=pretrained
        )
        fitting = backbone.split_blocks
        if a.split_block not in fitting:
            raise SettingsError(
                f"block {a.split_block} of {a.backbone} can't be the last on the edge",
                fix=f"give --split-block, {fitting[0]} to {fitting[-1]}",
            )
        most = len(backbone.strides) - 1 - backbone.last_of(SPLIT_STRIDE)
        if not 0 <= a.dropped_blocks < most:
            raise SettingsError(
                f"a tail can't do without {a.dropped_blocks} of the last blocks of {a.backbone}",
                fix=f"give --dropped-blocks, 0 to {most - 1}",
            )
        self.architecture = architecture
        self.weights_origin = backbone.weights
        self.head = Head(architecture, backbone)
        self.entropy = FactorisedEntropy(architecture.bottleneck)
        self.tail = Tail(architecture, backbone)

    def restart_tail(self) -> None:
        """Give the tail ImageNet's weights and untrained layers again."""
        a = self.architecture
        backbone = load_backbone(a.height, a.width, a.channels, name=a.backbone)
        self.tail = Tail(a, backbone)


def round_straight_through(features: Tensor, limit: int) -> Tensor:
    """Round and clip to ±limit; the gradient passes as if nothing had happened."""
    rounded = features.round().clamp(-limit, limit)
    return features + (rounded - features).detach()


def add_rounding_noise(features: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Uniform noise in ±½, the differentiable stand-in for rounding in the rate term.

    generator   torch's own where there is none
    """
    return features + torch.rand_like(features, generator=generator) - 0.5
