"""A device's own epochs on the layers that a round trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from edge.learner.feature_cache import CachedFeatures
from edge.learner.trainable import Student
from shared.errors import FederationError
from shared.federation.protocol import TrainOrder

GRADIENT_LIMIT = 5.0


# The first optimiser of a process loads hundreds of modules that parse source, which Python 3.11
# fails at in two threads at a time. Devices of one process learn in threads: load them here.
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])


class Learned(NamedTuple):
    """loss   the mean of the last epoch
    steps  that were taken
    """

    loss: float
    steps: int


def learn(
    student: Student,
    examples: CachedFeatures,
    order: TrainOrder,
    generator: torch.Generator,
    *,
    anchors: Mapping[str, Tensor] | None = None,
    proximal: float = 0.0,
    pause: Callable[[], None] = lambda: None,
) -> Learned:
    """Train in place.

    anchors    the values that came, by name: with `proximal` above zero, straying from them
               costs (FedProx, Li et al. 2020)
    pause      called before every step; it may wait while the line needs the machine, or raise
    Raises FederationError where the loss is no number.
    """
    groups = [
        {"params": params, "lr": order.rate * (order.block_share if slow else 1.0)}
        for params, slow in student.shares()
    ]
    optimiser = torch.optim.AdamW(groups, lr=order.rate, weight_decay=order.decay)
    known = anchors if anchors and proximal else {}
    held = [(p, known[n]) for n, p in student.module.named_parameters() if n in known]
    everything = [p for params, _ in student.shares() for p in params]
    total, steps = 0.0, 0
    for _ in range(order.epochs):
        total, in_epoch = 0.0, 0
        for kept, batch in examples.epoch(order.batch, generator):
            pause()
            loss = student.loss(kept, batch, generator)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise FederationError(f"the loss became {value}", fix="lower the rate")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for parameter, anchor in held:
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach() - anchor, alpha=proximal)
            torch.nn.utils.clip_grad_norm_(everything, GRADIENT_LIMIT)
            optimiser.step()
            total += value
            in_epoch += 1
        steps += in_epoch
        total /= max(1, in_epoch)
    return Learned(total, steps)
