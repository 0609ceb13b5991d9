"""What a search may change, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cloud.training.options import Options
from shared.errors import SettingsError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SIZE, RATE, SPLIT, BITS = WHAT = ("size", "rate", "split", "bits")
STEP = 32
# From a quarter of what it begins with to four times that, in equal steps of the logarithm.
SPREAD = 4.0


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Variations of one way to train.

    base    what the search begins with
    what    of WHAT: size (the longer side, from half to half as much again, in steps of 32 pixels;
            the other in proportion), rate, split, bits (the weight of a bit)
    blocks  at which the backbone can be split
    """

    base: Options
    what: tuple[str, ...]
    blocks: tuple[int, ...]

    def distributions(self) -> dict[str, BaseDistribution]:
        """As Optuna draws from them."""
        from optuna.distributions import (  # noqa: PLC0415
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        base, side = self.base, self._side
        around = {RATE: base.rate, BITS: base.weights.rate}
        every: dict[str, BaseDistribution] = {
            SIZE: IntDistribution(max(STEP, _fitted(side / 2)), _fitted(1.5 * side), step=STEP),
            SPLIT: CategoricalDistribution(self.blocks),
            **{
                name: FloatDistribution(value / SPREAD, value * SPREAD, log=True)
                for name, value in around.items()
                if name in self.what
            },
        }
        return {name: every[name] for name in self.what}

    def start(self) -> dict[str, int | float]:
        """The base itself."""
        base = self.base
        every = {
            SIZE: self._side,
            RATE: base.rate,
            SPLIT: base.architecture.split_block,
            BITS: base.weights.rate,
        }
        return {name: every[name] for name in self.what}

    def options(self, values: Mapping[str, Any]) -> Options:
        """The base with these values of a trial."""
        a, base = self.base.architecture, self.base
        shape: dict[str, Any] = {}
        if SIZE in values:
            scale = values[SIZE] / self._side
            shape = {"height": _fitted(a.height * scale), "width": _fitted(a.width * scale)}
        if SPLIT in values:
            shape["split_block"] = values[SPLIT]
        return replace(
            base,
            architecture=replace(a, **shape),
            rate=values.get(RATE, base.rate),
            weights=replace(base.weights, rate=values.get(BITS, base.weights.rate)),
        )

    @property
    def _side(self) -> int:
        return max(self.base.architecture.height, self.base.architecture.width)


def chosen(names: str, base: Options) -> tuple[str, ...]:
    """What `--what` names, in the order of WHAT.

    Raises SettingsError for another name, none, or a weight of 0, which has no multiples.
    """
    given = {name.strip() for name in names.split(",")} - {""}
    if not given or given - set(WHAT):
        raise SettingsError(
            f"a search can't vary {', '.join(sorted(given - set(WHAT))) or 'nothing'}",
            fix=f"give --what with some of {','.join(WHAT)}",
        )
    if BITS in given and not base.weights.rate:
        raise SettingsError(
            "a bit weight of 0 has no multiples to search through",
            fix="give another --bit-weight, or leave bits out of --what",
        )
    return tuple(name for name in WHAT if name in given)


def _fitted(side: float) -> int:
    """The nearest multiple of 32, at least one."""
    return max(STEP, round(side / STEP) * STEP)
