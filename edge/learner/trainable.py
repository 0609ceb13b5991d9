"""A network as a round trains it: a frozen beginning, whose features are kept, and the rest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import Scope
from shared.splitnet.base_network import restore
from shared.splitnet.network import Features
from shared.splitnet.objective import TrainingBatch, Weights, bottleneck_losses, judgement_loss

Kept = Sequence[Tensor]


class InputSize(NamedTuple):
    """Of a prepared picture: pixels and planes."""

    height: int
    width: int
    channels: int


class Student(Protocol):
    """What can be trained in a round."""

    @property
    def module(self) -> nn.Module:
        """Its state's names are the base network's."""

    @property
    def size(self) -> InputSize:
        """Of the pictures that it looks at."""

    def look(self, pictures: Tensor) -> Kept:
        """What the frozen layers see in pictures, uint8 or float32 (n, c, h, w), 0–255."""

    def loss(self, kept: Kept, batch: TrainingBatch, generator: torch.Generator) -> Tensor:
        """One batch's, to be minimised; the batch's pictures are not looked at again."""

    def score(self, kept: Kept) -> Tensor:
        """How surely each is defective, logits (n,)."""

    def shares(self) -> Sequence[tuple[list[nn.Parameter], bool]]:
        """What learns, in groups; True: layers that were trained long before and learn slowly."""


StudentMaker = Callable[[BaseNetwork, Scope], Student]


class SplitStudent:
    """The split network in a round.

    The head's last blocks and its map learn from labels. The encoder learns to give the cloud's
    tail what it knows: the features that the base's head would have given, and its judgement of
    them, since the tail can't follow (docs/decisions/0025).
    """

    def __init__(self, base: BaseNetwork, scope: Scope, weights: Weights | None = None) -> None:
        self._net = restore(base)
        self._scope = scope
        self._weights = weights or Weights()
        head = self._net.head
        self._first = min(scope.from_block, len(head.blocks))
        self._original = copy.deepcopy(nn.ModuleList(head.blocks[self._first :])).eval()
        self._net.requires_grad_(requires_grad=False)
        for layer in self._learning():
            layer.requires_grad_(requires_grad=True)

    @property
    def module(self) -> nn.Module:
        return self._net

    @property
    def size(self) -> InputSize:
        a = self._net.architecture
        return InputSize(a.height, a.width, a.channels)

    def look(self, pictures: Tensor) -> Kept:
        """Features before the first block that learns, and at stride 8 where those lie earlier."""
        head = self._net.head.eval()
        with torch.no_grad():
            features = head.stem(pictures)
            fine = None
            for index, block in enumerate(head.blocks[: self._first]):
                features = block(features)
                if index == head.fine_at and index + 1 < self._first:
                    fine = features
        return [features] if fine is None else [features, fine]

    def loss(self, kept: Kept, batch: TrainingBatch, generator: torch.Generator) -> Tensor:
        self._net.eval()
        for layer in self._learning():
            layer.train()
        features = self._on(kept, self._net.head.blocks[self._first :])
        logits, score = self._net.head.judge(features)
        total = judgement_loss(logits, score, batch, self._weights.map)
        if not (self._scope.encoder or self._scope.decoder):
            return total
        with torch.no_grad():
            wanted = self._on(kept, self._original)
        truth = Features(features.fine.detach(), features.coarse.detach())
        between = bottleneck_losses(
            self._net, truth, self._weights, guided=True, wanted=wanted, generator=generator
        )
        return total + between.total

    def score(self, kept: Kept) -> Tensor:
        self._net.eval()
        with torch.no_grad():
            features = self._on(kept, self._net.head.blocks[self._first :])
            return self._net.head.judge(features)[1].float()

    def shares(self) -> Sequence[tuple[list[nn.Parameter], bool]]:
        blocks = list(self._net.head.blocks[self._first :].parameters())
        slow = {id(p) for p in blocks}
        new = [p for layer in self._learning() for p in layer.parameters() if id(p) not in slow]
        return [(blocks, True), (new, False)]

    def _learning(self) -> list[nn.Module]:
        head = self._net.head
        layers = [*head.blocks[self._first :], head.map_fine, head.map_coarse, head.map_head]
        if self._scope.encoder:
            layers += [head.encoder_fine, head.encoder]
        if self._scope.decoder:
            layers.append(self._net.tail.decoder)
        return layers

    def _on(self, kept: Kept, blocks: nn.ModuleList) -> Features:
        """From what is kept to the split point."""
        features = kept[0]
        fine = kept[1] if len(kept) > 1 else features
        for index, block in enumerate(blocks, start=self._first):
            features = block(features)
            if index == self._net.head.fine_at:
                fine = features
        return Features(fine, features)
