"""Random changes to training batches that leave the label true."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a picture may be changed.

    exposure   largest factor of brightness and of contrast, as a share
    turn       largest rotation, degrees
    shift      largest translation, as a share of the picture
    scale      largest change of size, as a share
    blur       share of pictures that are blurred a little, as by defocus
    synthetic  share of good pictures that are given a defect: cut from another part by its mask,
               or drawn; only where masks are known
    """

    exposure: float = 0.3
    turn: float = 5.0
    shift: float = 0.05
    scale: float = 0.15
    blur: float = 0.15
    synthetic: float = 0.2


def augment(
    picture: Tensor, mask: Tensor, how: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mirror, turn, shift and re-expose a batch.

    picture float32 (n, c, h, w) in 0–255, mask float32 (n, h/8, w/8); both move together.
    """
    n = picture.shape[0]

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    def sign() -> Tensor:
        return torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1.0

    angle = torch.deg2rad(uniform(-how.turn, how.turn))
    size = 1.0 + uniform(-how.scale, how.scale)
    cos, sin = angle.cos() * size, angle.sin() * size
    flip_x, flip_y = sign(), sign()
    theta = torch.stack(
        [
            torch.stack([cos * flip_x, -sin * flip_y, uniform(-2, 2) * how.shift], dim=1),
            torch.stack([sin * flip_x, cos * flip_y, uniform(-2, 2) * how.shift], dim=1),
        ],
        dim=1,
    )
    moved = _warp(picture, theta, "reflection")
    moved_mask = _warp(mask.unsqueeze(1), theta, "zeros").squeeze(1)
    middle = moved.mean(dim=(1, 2, 3), keepdim=True)
    contrast = 1.0 + uniform(-how.exposure, how.exposure).view(n, 1, 1, 1)
    brightness = 1.0 + uniform(-how.exposure, how.exposure).view(n, 1, 1, 1)
    exposed = ((moved - middle) * contrast + middle) * brightness
    blurred = torch.rand(n, generator=generator) < how.blur
    if bool(blurred.any()):
        exposed[blurred] = _blur(exposed[blurred])
    return exposed.clamp(0, 255), moved_mask


def _blur(picture: Tensor) -> Tensor:
    """A binomial filter of 3×3 pixels."""
    channels = picture.shape[1]
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(line, line).expand(channels, 1, 3, 3)
    padded = functional.pad(picture, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel, groups=channels)


def _warp(values: Tensor, theta: Tensor, padding: str) -> Tensor:
    grid = functional.affine_grid(theta, list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, padding_mode=padding, align_corners=False)
