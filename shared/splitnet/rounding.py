"""Round a head's weights to 8 bits so that what they compute changes least.

Rounded each to the nearest step, the weights of a filter that cancels flat areas no longer cancel
them, and the error grows with the light. Here weights are rounded one after the other, and what
each loses is made up for by those that are still to come, weighed by how their inputs go together
on pictures, the bias last (Frantar et al., *GPTQ*, ICLR 2023; after LeCun et al., *Optimal Brain
Damage*, 1990).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.splitnet.network import Head

LIMIT = 127
DAMPING = 0.01
PLACES = 4096


def rounded(head: Head, pictures: Sequence[Tensor]) -> Head:
    """A copy of a head, with norms fused, whose weights lie on the steps that int8 will have.

    pictures   uint8 (n, c, h, w) each; 20 or more in all
    """
    return round_by(head, moments(head, pictures))


def round_by(head: Head, found: Sequence[Tensor]) -> Head:
    """The same, by what `moments` gave; of several sets of pictures they may be added up."""
    copied = copy.deepcopy(head)
    with torch.no_grad():
        for conv, seen in zip(int8_convs(copied), found, strict=True):
            _round(conv, seen)
    return copied


def int8_convs(head: Head) -> list[Any]:
    """Every convolution but the last of each branch, which stay float."""
    judging = [m for m in head.map_head.modules() if isinstance(m, nn.Conv2d)]
    floats: set[nn.Module] = {judging[-1], head.encoder[0]}
    return [m for m in head.modules() if isinstance(m, nn.Conv2d) and m not in floats]


def moments(head: Head, pictures: Iterable[Tensor]) -> list[Tensor]:
    """Second moments of each convolution's inputs and a constant one, float64
    (groups, inputs + 1, inputs + 1), where inputs are those of one group's filter.

    They are sums over pictures and places; the constant's own says over how many.
    """

    def seen(conv: Any, values: Tensor) -> Tensor:
        patches = _patches(conv, values)
        return torch.einsum("gin,gjn->gij", patches, patches)

    return _over(head, pictures, seen, torch.add)


def magnitudes(head: Head, pictures: Iterable[Tensor]) -> Tensor:
    """The largest size of each channel of each convolution's inputs, one after another."""

    def seen(_conv: Any, values: Tensor) -> Tensor:
        return values.abs().amax(dim=(0, 2, 3)).double()

    return torch.cat(_over(head, pictures, seen, torch.maximum))


def input_sizes(head: Head, channels: Tensor) -> list[Tensor]:
    """What `magnitudes` gave, for each entry of the moments: (groups, inputs + 1), the constant's
    last. A channel that is always zero has the size one: there is nothing to divide."""
    found, start = [], 0
    for conv in int8_convs(head):
        own = channels[start : start + conv.in_channels].double()
        start += conv.in_channels
        places = math.prod(conv.kernel_size)
        spread = torch.where(own > 0, own, 1.0).reshape(conv.groups, -1)
        spread = spread.repeat_interleave(places, dim=1)
        found.append(torch.cat([spread, torch.ones_like(spread[:, :1])], dim=1))
    return found


def _over(
    head: Head,
    pictures: Iterable[Tensor],
    look: Callable[[Any, Tensor], Tensor],
    join: Callable[[Tensor, Tensor], Tensor],
) -> list[Tensor]:
    """What `look` finds in each convolution's inputs, joined over pictures."""
    convs = int8_convs(head)
    found: dict[nn.Module, Tensor] = {}

    def add(conv: Any, values: tuple[Tensor, ...]) -> None:
        one = look(conv, values[0])
        found[conv] = join(found[conv], one) if conv in found else one

    with ExitStack() as hooks, torch.no_grad():
        for conv in convs:
            hooks.callback(conv.register_forward_pre_hook(add).remove)
        for picture in pictures:
            head(picture)
    return [found[conv] for conv in convs]


def _patches(conv: Any, values: Tensor) -> Tensor:
    """What a filter sees at some places, and a constant one: float64 (groups, inputs + 1, n)."""
    static = getattr(conv, "static_padding", None)
    values = values if static is None else static(values)
    kernel, padding, stride = conv.kernel_size, conv.padding, conv.stride
    columns = functional.unfold(values, kernel, padding=padding, stride=stride)
    columns = columns.transpose(0, 1).flatten(1)
    columns = columns[:, :: max(1, columns.shape[1] // PLACES)]
    groups = columns.reshape(conv.groups, -1, columns.shape[1]).double()
    return torch.cat([groups, torch.ones_like(groups[:, :1])], dim=1)


def _round(conv: Any, moments: Tensor) -> None:
    """Round a convolution's weights in place and mend its bias."""
    groups, filters = conv.groups, conv.weight.shape[0]
    weight = conv.weight.double().reshape(groups, filters // groups, -1)
    bias = conv.bias.double().reshape(groups, -1, 1)
    left = torch.cat([weight, bias], dim=2)
    largest, at = weight.abs().max(dim=2, keepdim=True)
    scale = largest.clamp_min(1e-9) / LIMIT
    pull = _pulls(moments)
    for index in range(weight.shape[2]):
        value = left[:, :, index]
        kept = (value / scale[:, :, 0]).round().clamp(-LIMIT, LIMIT) * scale[:, :, 0]
        error = (value - kept) / pull[:, index, index].unsqueeze(1)
        left[:, :, index] = kept
        left[:, :, index + 1 :] -= error.unsqueeze(2) * pull[:, index, index + 1 :].unsqueeze(1)
    found = left[:, :, :-1]
    # The steps follow from the largest weight, so that one has to stay what it was.
    found.scatter_(2, at, weight.gather(2, at))
    conv.weight.copy_(found.reshape(conv.weight.shape))
    conv.bias.copy_(left[:, :, -1].reshape(-1))


def _pulls(moments: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse moments, (groups, n, n): how much of an error each
    later weight takes over."""
    size = moments.shape[1]
    level = moments.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(1e-12)
    damped = moments + DAMPING * level.view(-1, 1, 1) * torch.eye(size, dtype=moments.dtype)
    factor: Tensor = torch.linalg.cholesky(torch.linalg.inv(damped), upper=True)
    return factor
