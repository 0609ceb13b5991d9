"""A larger network that is followed in training (Hinton et al., *Distilling the Knowledge in a
Neural Network*, 2015)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from cloud.datasets.dataset import Dataset
from cloud.training.checkpoint import refuse_leak, trained_net
from shared.splitnet.objective import Guide


class Teacher:
    """Judges training pictures as the run's first stage learned to, without gradients.

    Raises TrainingError where the run can't be read or divided the same data otherwise: its
    training parts could be among our test parts.
    """

    def __init__(self, run: Path, dataset: Dataset) -> None:
        refuse_leak(run, dataset)
        net = trained_net(run)
        self._net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.size = (net.architecture.height, net.architecture.width)

    @torch.no_grad()
    def judge(self, picture: Tensor, places: tuple[int, int]) -> Guide:
        """Judge pictures (n, c, h, w) of any size; the map comes at `places` (height, width)."""
        if picture.shape[2:] != self.size:
            picture = functional.interpolate(
                picture, self.size, mode="bilinear", align_corners=False
            )
        judged = self._net.tail.judge(self._net.head.shared_features(picture))
        logits = judged.map.float()
        if logits.shape[2:] != places:
            logits = functional.interpolate(logits, places, mode="area")
        return Guide(logits, judged.score.float())
