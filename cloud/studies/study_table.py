"""What a search has found, for people and programs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloud.studies.option_study import FAILED
from cloud.studies.space import SearchSpace

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def row_of(trial: FrozenTrial) -> dict[str, object]:
    """One trial. Figures are None where it failed, which `failed` says why."""
    auroc, kilobytes = trial.values or (None, None)
    return {
        "trial": trial.number,
        **trial.params,
        "system_auroc": auroc,
        "kB": kilobytes,
        **({"failed": trial.user_attrs[FAILED]} if FAILED in trial.user_attrs else {}),
    }


def command_of(trial: FrozenTrial, space: SearchSpace, given: Sequence[str]) -> str:
    """How to train this one in full.

    given    options of the search that a training takes, too
    """
    options = space.options(trial.params)
    a = options.architecture
    words = [
        *("splitsight", "cloud", "train", "--out", "BUNDLE", *given),
        *("--height", a.height, "--width", a.width, "--split-block", a.split_block),
        *("--learning-rate", f"{options.rate:.4g}", "--bit-weight", f"{options.weights.rate:.4g}"),
    ]
    return shlex.join(map(str, words))
