"""The statistics behind the gate's certificate: numpy in, numbers out.

Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv:2110.01052): thresholds
that were fixed beforehand are tested one after another, the safest first, with exact binomial
tails, until one is not shown to be safe. The last one before it holds with confidence 1 − delta.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.certification.scores import Floats, Scored
from shared.errors import SettingsError

Counts = NDArray[np.int64]
STEP, REACH = 0.01, 20.0
METHOD = (
    "fixed-sequence Learn then Test (Angelopoulos et al. 2021) with exact binomial tails over "
    f"parts; thresholds fixed beforehand, log-odds −{REACH:g} to {REACH:g} in steps of {STEP:g}"
)


def _grid() -> Floats:
    odds = np.arange(-REACH, REACH + STEP / 2, STEP)
    return np.concatenate([[0.0], 1 / (1 + np.exp(-odds)), [np.nextafter(1.0, 2.0)]])


GRID = _grid()
"""Every threshold that a gate can be given, ascending: from below all scores to above them."""
BINS = len(GRID) + 1
"""A score lies in the bin that says how many thresholds are not above it."""


def require_shares(**limits: float) -> None:
    """Raises SettingsError where one, by its name, does not lie between 0 and 1."""
    for name, value in limits.items():
        if not 0 < value < 1:
            raise SettingsError(
                f"the limit {name} is {value}", fix="it must lie between 0 and 1; 0.01 is 1 %"
            )


@dataclass(frozen=True, slots=True)
class PromiseLimits:
    """What is to be promised, shares of parts.

    escapes   of defective parts, at the edge; system: of edge and cloud together
    overkill  of good parts, at the edge
    delta     how likely each promise, on its own, may be wrong
    Raises SettingsError where one does not lie between 0 and 1, or system not above escapes.
    """

    escapes: float
    overkill: float
    system: float
    delta: float

    def __post_init__(self) -> None:
        require_shares(
            escapes=self.escapes, overkill=self.overkill, system=self.system, delta=self.delta
        )
        if self.system <= self.escapes:
            raise SettingsError(
                f"edge and cloud together can't let through {self.system}, the edge alone "
                f"{self.escapes}",
                fix="ask for a higher share of the system, or a lower one of the edge",
            )


@dataclass(frozen=True, slots=True)
class Tested:
    """A threshold that was shown to be safe, and how many parts the test counted for it."""

    threshold: float
    counted: int


@dataclass(frozen=True, slots=True)
class EdgeChoice:
    """The edge's thresholds within the limits, and what their tests counted."""

    escapes: Tested
    overkill: Tested

    @property
    def pass_below(self) -> float:
        """Where both promises hold without escalating, the lower threshold has fewer escapes."""
        return min(self.escapes.threshold, self.overkill.threshold)

    @property
    def reject_from(self) -> float:
        return self.overkill.threshold


def choose_edge(
    passing: NDArray[np.integer],
    defective: int,
    rejected: NDArray[np.integer],
    good: int,
    limits: PromiseLimits,
) -> EdgeChoice | None:
    """The edge's thresholds within the limits, from counts, which add up over devices.

    None: too few parts.

    passing    of `defective` parts, how many pass at each threshold of GRID
    rejected   of `good` parts, how many are rejected at each
    """
    escapes = last_safe(GRID, passing, defective, limits.escapes, limits.delta)
    overkill = last_safe(GRID[::-1], rejected[::-1], good, limits.overkill, limits.delta)
    return EdgeChoice(escapes, overkill) if escapes and overkill else None


def choose_system(
    tied: Counts, later: Counts, defective: int, limits: PromiseLimits, weights_compared: int
) -> Tested | None:
    """The cloud's threshold, from counts: the highest threshold at which edge and cloud
    pass at most `limits.system`. None where no threshold is shown to.

    tied, later   of `defective` parts, as `escaping` counts them
    """
    counted = counted_together(tied, later, defective, limits)
    return last_safe(GRID, counted, defective, limits.system, limits.delta / weights_compared)


def bins(scores: Floats) -> NDArray[np.intp]:
    """How many thresholds of GRID are not above each score: a gate sees no more of it."""
    return np.searchsorted(GRID, scores, side="right")


def binned(scores: Floats) -> Counts:
    """How many scores lie in each bin, int64 (BINS,)."""
    return np.bincount(bins(scores), minlength=BINS).astype(np.int64)


def below(counts: Counts) -> Counts:
    """How many of what was counted by bin lie below each threshold of GRID."""
    return np.cumsum(counts)[:-1]


def parts_allowed(parts: int, share: float) -> int:
    """So many of `parts` are at most a share of them; 0.29 of 100 are not 28 by a last digit."""
    return int(np.floor(share * parts + 1e-9))


def paid_at_edge(defective: int, limits: PromiseLimits) -> int:
    """How many parts the system's test counts as passed at the edge, whatever their scores.

    The edge's test allows some k of them to pass, a number fixed beforehand, so `pass_below` lies
    at or below the bin of the (k + 1)-th part. With that part counted too, the choice is paid for:
    the population's share before it, ties at random, is a uniform order statistic; given it the
    other parts are still independent; and both together have the binomial tail of the count
    (docs/decisions/0012).
    """
    return most_allowed(defective, limits.escapes, limits.delta) + 1


def edge_bin(passing: NDArray[np.integer], defective: int, limits: PromiseLimits) -> int:
    """The bin of the last part that is paid for at the edge; `passing` as in `choose_edge`."""
    return int(np.searchsorted(passing, paid_at_edge(defective, limits), side="left"))


def escaping(defective: Scored, reject_from: float, edge_bin: int) -> tuple[Counts, Counts]:
    """Parts in the bin of the edge's last paid one, and parts after it, by when the cloud passes
    them; int64 (BINS,) each. `reject_from` was chosen on good parts: it is as good as fixed here.
    """
    place, cloud = bins(defective.first_to_pass()), defective.first_to_pass_cloud(reject_from)
    return binned(cloud[place == edge_bin]), binned(cloud[place > edge_bin])


def counted_together(tied: Counts, later: Counts, defective: int, limits: PromiseLimits) -> Counts:
    """How many parts the system's test counts as passed at each threshold of GRID.

    Which of the parts in one bin are paid for at the edge is not known: those that the cloud
    passes last. So the count is the largest that any order of them gives.
    """
    paid = paid_at_edge(defective, limits)
    before = defective - tied.sum() - later.sum()
    rest = tied.sum() - (paid - before)
    return np.asarray(paid + np.minimum(below(tied), rest) + below(later))


def last_safe(
    thresholds: Floats, counts: NDArray[np.integer], parts: int, limit: float, delta: float
) -> Tested | None:
    """The last of these thresholds that is shown to be safe, in the order of testing; None: none.

    counts   as in `fixed_sequence`
    """
    safe = fixed_sequence(counts, parts, limit, delta)
    return Tested(float(thresholds[safe - 1]), int(counts[safe - 1])) if safe else None


def fixed_sequence(counts: NDArray[np.integer], parts: int, limit: float, delta: float) -> int:
    """How many thresholds, from the first on, are shown to be safe.

    counts   parts of `parts` to which it happens at each threshold, in the order of testing
    The p-value of "it happens to more than a share `limit`" is the probability of so few.
    """
    safe = np.asarray(binomial_tails(parts, limit)[counts] <= delta)
    return len(safe) if safe.all() else int(np.argmin(safe))


def most_allowed(parts: int, limit: float, delta: float) -> int:
    """The largest count that still shows the limit; −1 where not even zero does."""
    return int(np.searchsorted(binomial_tails(parts, limit), delta, side="right")) - 1


@lru_cache(maxsize=64)
def binomial_tails(parts: int, rate: float) -> Floats:
    """P(at most k of `parts`), k = 0 … parts, each with probability 0 < `rate` < 1; read-only."""
    tails = np.minimum(np.cumsum(_masses(parts, parts, rate)), 1.0)
    tails.flags.writeable = False
    return tails


def upper_bound(count: int, parts: int, delta: float) -> float:
    """The largest rate at which `count` or fewer are not rarer than delta (Clopper, Pearson 1934).

    It is the smallest limit that so many of `parts` support.
    """
    if count >= parts:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if _tail(count, parts, middle) > delta:
            low = middle
        else:
            high = middle
    return high


def interval(count: int, parts: int, delta: float) -> tuple[float, float]:
    """The exact two-sided interval of a rate, confidence 1 − delta (Clopper, Pearson 1934)."""
    return 1 - upper_bound(parts - count, parts, delta / 2), upper_bound(count, parts, delta / 2)


def parts_needed(count: int, limit: float, delta: float) -> int:
    """The fewest parts of which `count` may show it and the limit still be promised."""
    low, high = count, count + 1
    while _tail(count, high, limit) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if _tail(count, middle, limit) > delta:
            low = middle
        else:
            high = middle
    return high


def _tail(count: int, parts: int, rate: float) -> float:
    return float(_masses(count, parts, rate).sum())


def _masses(count: int, parts: int, rate: float) -> Floats:
    """P(exactly k of `parts`), k = 0 … count; in logarithms, which neither overflow nor vanish."""
    k = np.arange(count)
    steps = np.log((parts - k) / (k + 1)) + np.log(rate) - np.log1p(-rate)
    logs = parts * np.log1p(-rate) + np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(np.exp(logs))
