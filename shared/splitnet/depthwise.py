"""Depthwise convolutions whose gradients don't take the slow road on CPUs.

In bfloat16 oneDNN has no fast kernel for the input's gradient of a strided depthwise
convolution, nor for the weights' gradient of a 5×5 one: 15 to 50 times the time of the forward
pass, two thirds of a training step of EfficientNet-Lite0. In float32 both are fast.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Convolve(torch.autograd.Function):
    """A depthwise convolution; backward in float32 where that is the faster road."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(values, weight, None, stride, padding, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        values, weight = ctx.saved_tensors
        gradient = gradients[0]
        wanted_values, wanted_weight = ctx.needs_input_grad[:2]

        def half(widen: bool, mask: list[bool]) -> tuple[Tensor | None, ...]:
            g, x = (gradient.float(), values.float()) if widen else (gradient, values)
            w = weight.to(g.dtype).contiguous(memory_format=torch.channels_last)
            stride, padding = [ctx.stride] * 2, [ctx.padding] * 2
            found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
                g, x, w, None, stride, padding, [1, 1], False, [0, 0], w.shape[0], mask
            )
            return found

        to_values = to_weight = None
        if wanted_values:
            to_values = half(ctx.stride > 1, [True, False, False])[0]
            to_values = None if to_values is None else to_values.to(values.dtype)
        if wanted_weight:
            to_weight = half(weight.shape[-1] > 3, [False, True, False])[1]
            to_weight = None if to_weight is None else to_weight.to(weight.dtype)
        return to_values, to_weight, None, None


class DepthwiseConv(nn.Conv2d):
    """As nn.Conv2d with groups = channels, but quick to train in bfloat16; no bias then."""

    def forward(self, values: Tensor) -> Tensor:
        static = getattr(self, "static_padding", None)
        if static is not None:
            values = static(values)
        stride, padding = self.stride[0], int(self.padding[0])
        if not (self.training and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")):
            return functional.conv2d(
                values, self.weight, self.bias, stride, padding, 1, self.weight.shape[0]
            )
        low = torch.get_autocast_dtype("cpu")
        convolved = _Convolve.apply(  # type: ignore[no-untyped-call]
            values.to(low), self.weight.to(low), stride, padding
        )
        return cast("Tensor", convolved)


def make_depthwise_quick(module: nn.Module) -> None:
    """Turn every depthwise convolution below `module` into a DepthwiseConv, weights kept."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels == conv.out_channels > 1:
            conv.__class__ = DepthwiseConv
