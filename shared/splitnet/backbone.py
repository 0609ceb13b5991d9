"""What a split network is cut from: a stem and blocks, of a kind found by entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from shared.errors import SettingsError
from shared.plugins.group import PluginGroup
from shared.splitnet.depthwise import make_depthwise_quick

GREY = 1
COLOUR = 3
NORM_MOMENTUM = 0.1
PIXEL_MIDDLE, PIXEL_SPREAD = 127, 128
STRIDES = FINE_STRIDE, SPLIT_STRIDE, DEEP_STRIDE = 8, 16, 32
LITE0 = "efficientnet-lite0"


class Stem(nn.Module):
    """Normalise a uint8 picture, (pixel - 127) / 128, and apply the first convolution.

    In: uint8 or float32 (n, channels, height, width), 0–255. Out: float32, as the convolution and
    its norm make it. A grey stem carries the sum of the three colour filters, which gives what
    three equal channels would give at a third of the work.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.act = nn.ReLU6()
        self.channels = channels
        if channels == GREY:
            weight = conv.weight
            assert isinstance(weight, Tensor)
            conv.weight = nn.Parameter(weight.detach().sum(dim=1, keepdim=True))
            conv.in_channels = 1  # type: ignore[assignment]

    def forward(self, picture: Tensor) -> Tensor:
        scaled = (picture.to(torch.float32) - PIXEL_MIDDLE) / PIXEL_SPREAD
        activated: Tensor = self.act(self.norm(self.conv(scaled)))
        return activated


class BackboneLayers(NamedTuple):
    """What a kind of backbone makes.

    stem     made of a convolution of three channels in BGR; it takes grey pictures, too
    blocks   each takes what the one before gave, float32 (n, c, h, w)
    """

    stem: Stem
    blocks: Sequence[nn.Module]


@dataclass(frozen=True, slots=True)
class BackboneKind:
    """What an entry point of `splitsight.backbones` names.

    open      (height, width, channels, pretrained) → new layers for pictures of that size in
              pixels, multiples of 32; channels 1 or 3; pretrained: with the weights it starts from
    weights   where those come from, for a bundle's manifest; empty: from noise, and then no block
              is frozen while the rest learns
    """

    open: Callable[[int, int, int, bool], BackboneLayers]
    weights: str


BACKBONES: PluginGroup[BackboneKind] = PluginGroup(
    "splitsight.backbones", "backbone", BackboneKind, needs="efficientnet_lite_pytorch"
)


@dataclass(frozen=True, slots=True)
class Backbone:
    """Layers, and what they were seen to give.

    channels, strides   after each block; strides are relative to the picture
    weights             as their kind says
    """

    stem: Stem
    blocks: nn.ModuleList
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    weights: str

    @property
    def split_blocks(self) -> list[int]:
        """Blocks that can be the last on the edge: the tail needs at least one more of the same
        stride for its pyramid."""
        return [i for i, stride in enumerate(self.strides) if stride == SPLIT_STRIDE][:-1]

    def last_of(self, stride: int) -> int:
        """The last block at a stride."""
        return max(index for index, found in enumerate(self.strides) if found == stride)


def load_backbone(
    height: int, width: int, channels: int, *, name: str = LITE0, pretrained: bool = True
) -> Backbone:
    """A backbone for one size of pictures.

    height, width   multiples of 32, pixels
    channels        1 (grey) or 3 (BGR)
    name            of an entry point in `splitsight.backbones`
    Raises SettingsError for a size, channel count or name that does not fit, for weights that are
    not installed and for layers that can't be split or run in int8; MissingExtra without the extra
    `train`.
    """
    if height % 32 or width % 32 or channels not in {GREY, COLOUR}:
        raise SettingsError(
            f"input {width}×{height}×{channels} does not fit the network",
            fix="use a width and height that are multiples of 32, and 1 or 3 channels",
        )
    loaded = BACKBONES.load(name)
    if loaded.kind is None:
        raise SettingsError(
            f"the backbone {name} can't be used here ({loaded.error})",
            fix="see `splitsight doctor`, or choose another with --backbone",
        )
    return build_backbone(name, loaded.kind, (height, width, channels), pretrained=pretrained)


def build_backbone(
    name: str, kind: BackboneKind, size: tuple[int, int, int], *, pretrained: bool
) -> Backbone:
    """The same of a kind at hand. Raises SettingsError."""
    height, width, channels = size
    stem, blocks = kind.open(height, width, channels, pretrained)
    if not isinstance(stem, Stem):
        raise _unfit(name, f"its stem is a {type(stem).__name__}")
    layers = nn.ModuleList(blocks)
    _check_convolutions(name, nn.ModuleList([stem, *layers]))
    widths, strides = _measure(name, stem, layers, torch.zeros(1, channels, height, width))
    if not set(STRIDES) <= set(strides):
        raise _unfit(name, f"its blocks end at strides {', '.join(map(str, strides))}")
    for layer in (stem, *layers):
        make_depthwise_quick(layer)
        for norm in layer.modules():
            if isinstance(norm, nn.BatchNorm2d):
                # ImageNet's 0.01 is for 300,000 steps; a data set of 700 pictures takes 2,000.
                norm.momentum = NORM_MOMENTUM
    return Backbone(stem, layers, tuple(widths), tuple(strides), kind.weights)


def conv_norm_pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Neighbouring children that are a convolution and its batch norm, in every submodule."""
    for owner in list(module.modules()):
        children = list(owner.named_children())
        if not isinstance(owner, nn.Sequential):
            # EfficientNet's blocks keep activations last, so neighbours still pair up.
            children = [c for c in children if isinstance(c[1], nn.Conv2d | nn.BatchNorm2d)]
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield owner, first, second


def _measure(
    name: str, stem: Stem, blocks: nn.ModuleList, picture: Tensor
) -> tuple[list[int], list[int]]:
    """Channels and strides after each block, for one picture."""
    widths: list[int] = []
    strides: list[int] = []
    whole = nn.ModuleList([stem, *blocks]).eval()
    try:
        with torch.no_grad():
            features = stem(picture)
            for block in blocks:
                features = block(features)
                _, width, rows, columns = features.shape
                stride = picture.shape[2] // rows
                if (rows * stride, columns * stride) != picture.shape[2:]:
                    raise _unfit(name, f"block {len(widths)} gives {columns}×{rows} places")
                widths.append(width)
                strides.append(stride)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise _unfit(name, f"block {len(widths)} fails: {str(error).splitlines()[0]}") from error
    whole.train()
    return widths, strides


def _check_convolutions(name: str, layers: nn.Module) -> None:
    """Raises SettingsError for what can't be rounded to int8 together with its neighbours."""
    normed = {id(getattr(owner, conv)) for owner, conv, _ in conv_norm_pairs(layers)}
    for where, conv in layers.named_modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        plain = not isinstance(conv.padding, str) and set(conv.dilation) == {1}
        if not plain or (conv.bias is None and id(conv) not in normed):
            raise _unfit(name, f"the convolution {where} has no norm, is dilated or pads by name")


def _unfit(name: str, found: str) -> SettingsError:
    return SettingsError(
        f"the backbone {name} can't be split: {found}",
        fix="it must give a Stem and blocks that end at strides 8, 16 and 32, whose convolutions "
        "have a bias or a batch norm right behind them, padding in numbers and no dilation",
    )
