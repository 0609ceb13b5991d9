"""In which numbers a training computes on this processor."""

from __future__ import annotations

import torch

_WITHOUT = frozenset({"DEFAULT", "AVX2"})
"""Without kernels of oneDNN in bfloat16: a step takes seven times as long there as in float32."""


def quick_precision() -> torch.autocast:
    """The context of a training's forward pass: bfloat16 where the processor is quick in it."""
    quick = torch.backends.cpu.get_cpu_capability() not in _WITHOUT
    return torch.autocast("cpu", torch.bfloat16, enabled=quick)
