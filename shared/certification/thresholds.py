"""Thresholds of edge and cloud that keep one promise of the whole system: numpy in, numbers out.

Of defective parts at most a share passes, of good ones at most a share is rejected without a
person; what lies between, a person reviews. Each side is tested along one path of settings, the
safest first (fixed-sequence Learn then Test, Angelopoulos, Bates, Candès, Jordan and Lei 2021,
arXiv:2110.01052). A step of the path has a threshold for the cloud, and one for the edge that the
*other* kind of parts has chosen, which the tested parts know nothing of. A part counts where either
half does it. So one test pays for both thresholds, and every setting that does less of it is as
safe: which one costs least may be asked afterwards, of the same parts (docs/decisions/0042).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shared.certification.certificate import GRID, bins, fixed_sequence, require_shares
from shared.certification.gate import Gate
from shared.certification.scores import Floats, Scored
from shared.errors import SettingsError

METHOD = (
    "fixed-sequence Learn then Test (Angelopoulos et al. 2021) with exact binomial tails over "
    "parts that edge or cloud pass, and over parts that edge or cloud reject"
)
STEPS = len(GRID)
MARGIN = 25
"""How many thresholds of GRID the cloud's score of a part must lie on the sure side, a quarter of a
unit of log-odds, for the edge to be let decide it: there the cloud would have decided alike."""
STRAY = 0.01
"""The share of what the edge decides that the cloud need not have decided alike."""
AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class SystemLimits:
    """What is to be promised of edge, cloud and person together, shares of parts.

    escape        of defective parts, that pass
    false_reject  of good parts, that are rejected without a person
    delta         how likely each of both promises, on its own, may be wrong
    Raises SettingsError where one does not lie between 0 and 1, or where both shares together
    leave nothing to promise: what rejects a share at random keeps both.
    """

    escape: float
    false_reject: float
    delta: float

    def __post_init__(self) -> None:
        require_shares(escape=self.escape, false_reject=self.false_reject, delta=self.delta)
        if self.escape + self.false_reject >= 1:
            raise SettingsError(
                f"at most {self.escape} of defective and {self.false_reject} of good parts are no "
                "promise: a coin keeps both",
                fix="ask for shares that are less than 1 together, say 0.1 and 0.05",
            )


@dataclass(frozen=True, slots=True)
class SafeThresholds:
    """The farthest thresholds that were shown to be safe: any gate within keeps the promise.

    edge, cloud   as far as this half may go; to pass: no higher, to reject: no lower
    counted       parts that the test counted there
    """

    edge: float
    cloud: float
    counted: int


@dataclass(frozen=True, slots=True)
class SystemChoice:
    """The gate that costs least within both promises, and what their tests counted."""

    gate: Gate
    passing: SafeThresholds
    rejecting: SafeThresholds


def choose_thresholds(
    kinds: tuple[Scored, Scored],
    limits: SystemLimits,
    before: Gate,
    *,
    weights_compared: int = 1,
    with_cloud: bool = True,
) -> SystemChoice | None:
    """The gate within both promises that leaves least to a person; None: too few parts of a kind.

    before            its tail's weight, with which `cloud` was scored, stays
    weights_compared  among how many tail weights these very parts chose. Each then has a share of
                      delta, so that the promise holds for whichever was chosen
    with_cloud        False: a person looks at whatever the edge is not sure of
    """
    defective, good = kinds
    if not defective.parts or not good.parts:
        return None
    delta = limits.delta / weights_compared
    bad, well = _Placed.to_pass(defective), _Placed.to_pass(good)
    passing = _farthest(bad, well, limits.escape, delta, with_cloud=with_cloud)
    bad, well = _Placed.to_reject(defective), _Placed.to_reject(good)
    rejecting = _farthest(well, bad, limits.false_reject, delta, with_cloud=with_cloud)
    if passing is None or rejecting is None:
        return None
    passes, rejects = _bounds(passing, GRID), _bounds(rejecting, GRID[::-1])
    edge = _apart(passes.edge, rejects.edge, defective.edge, good.edge, limits)
    cloud = _apart(passes.cloud, rejects.cloud, defective.cloud, good.cloud, limits)
    gate = Gate(*edge, cloud[1], before.tail_weight, cloud[0], escalates=with_cloud)
    return SystemChoice(gate, passes, rejects)


class _Step(NamedTuple):
    """How far a path was shown to be safe: places, and the parts that were counted there."""

    edge: int
    cloud: int
    counted: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """Scores of pictures as places, int (n,): at step p a threshold decides what lies at p or
    before. What is not a number lies behind all.
    """

    part: NDArray[np.intp]
    edge: NDArray[np.intp]
    cloud: NDArray[np.intp]
    parts: int

    @classmethod
    def to_pass(cls, scored: Scored) -> Self:
        """Step p is the threshold GRID[p], from below all scores upwards."""
        return cls._of(scored, bins)

    @classmethod
    def to_reject(cls, scored: Scored) -> Self:
        """Step p is the threshold GRID[STEPS − 1 − p], from above all scores downwards."""
        return cls._of(scored, lambda scores: STEPS - bins(scores))

    @classmethod
    def _of(cls, scored: Scored, place: Callable[[Floats], NDArray[np.intp]]) -> Self:
        # The edge escalates a score that is not finite.
        edge = np.where(np.isfinite(scored.edge), place(scored.edge), STEPS)
        cloud = np.where(np.isnan(scored.cloud), STEPS, place(scored.cloud))
        return cls(scored.part, edge, cloud, scored.parts)


def _farthest(
    tested: _Placed, others: _Placed, limit: float, delta: float, *, with_cloud: bool
) -> _Step | None:
    """The last step at which at most a share `limit` of the tested parts is decided so.

    None where not even none of them shows it.
    """
    edge = _edge_path(others) if with_cloud else np.arange(STEPS)
    first = np.searchsorted(edge, tested.edge)
    if with_cloud:
        first = np.minimum(first, tested.cloud)
    by_part = np.full(tested.parts, STEPS)
    np.minimum.at(by_part, tested.part, first)
    counts = np.cumsum(np.bincount(by_part, minlength=STEPS + 1))[:STEPS]
    safe = fixed_sequence(counts, tested.parts, limit, delta)
    if not safe:
        return None
    return _Step(int(edge[safe - 1]), safe - 1 if with_cloud else 0, int(counts[safe - 1]))


def _edge_path(others: _Placed) -> NDArray[np.intp]:
    """For each step of the cloud the edge's, (STEPS,), never falling; −1: it decides nothing.

    It is the farthest at which, of what the edge would decide, the cloud would have decided all
    but a share STRAY alike, and MARGIN steps before.
    """
    order = np.argsort(others.edge, kind="stable")
    edge, agrees = others.edge[order], others.cloud[order] + MARGIN
    # What has the same score is decided alike.
    last = np.append(edge[1:] != edge[:-1], True) & (edge < STEPS)
    allowed = STRAY * np.arange(1, len(edge) + 1)
    path = np.full(STEPS, -1)
    # Between two of these steps nothing changes.
    changes = np.unique(agrees[agrees < STEPS])
    for steps in np.array_split(changes, 1 + changes.size * edge.size // AT_ONCE):
        strays = np.cumsum(agrees > steps[:, np.newaxis], axis=1, dtype=np.int32)
        decided = last & (strays <= allowed)
        farthest = edge.size - 1 - np.argmax(decided[:, ::-1], axis=1)
        path[steps] = np.where(decided.any(axis=1), edge[farthest], -1)
    return np.maximum.accumulate(path)


def _bounds(farthest: _Step, thresholds: Floats) -> SafeThresholds:
    """`thresholds` by step. What decides nothing has the first one, beyond all scores."""
    edge, cloud = (float(thresholds[max(0, step)]) for step in farthest[:2])
    return SafeThresholds(edge, cloud, farthest.counted)


def _apart(
    passes: float, rejects: float, defective: Floats, good: Floats, limits: SystemLimits
) -> tuple[float, float]:
    """The threshold to pass and the one to reject, where the first may be above the second.

    Then nothing need lie between. Of all places where they can meet it is the one at which the
    fewest pictures of these parts are decided wrong, in shares of what is allowed.
    """
    if passes <= rejects:
        return passes, rejects
    between = GRID[(rejects <= GRID) & (passes >= GRID)]
    wrong = (
        np.searchsorted(np.sort(defective), between) / limits.escape
        - np.searchsorted(np.sort(good), between) / limits.false_reject
    )
    best = np.flatnonzero(wrong == wrong.min())
    meeting = float(between[best[len(best) // 2]])
    return meeting, meeting
