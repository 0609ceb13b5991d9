"""What one place that has every score chooses: what counts, summed over devices, must come to."""

from __future__ import annotations

from dataclasses import dataclass

from shared.certification.certificate import (
    GRID,
    Counts,
    PromiseLimits,
    Tested,
    below,
    binned,
    choose_edge,
    choose_system,
    edge_bin,
    escaping,
    last_safe,
)
from shared.certification.gate import Gate
from shared.certification.scores import Scored


@dataclass(frozen=True, slots=True)
class ChosenGate:
    """The gate that escalates least within the limits, and what its tests counted.

    system   None where no threshold of the cloud is safe; it keeps the one that it had
    """

    gate: Gate
    escapes: Tested
    overkill: Tested
    system: Tested | None


def choose(
    defective: Scored, good: Scored, limits: PromiseLimits, before: Gate, weights_compared: int = 1
) -> ChosenGate | None:
    """Choose the gate that escalates least within the limits; None where parts are too few.

    before            the gate as it was: its tail's weight, with which `cloud` was scored, stays
    weights_compared  among how many tail weights these very parts chose. Each then has a share
                      of the system's delta, so that the promise holds for whichever was chosen
    """
    passes = passing(defective)
    edge = choose_edge(passes, defective.parts, rejected(good), good.parts, limits)
    if edge is None:
        return None
    end = edge_bin(passes, defective.parts, limits)
    tied, later = escaping(defective, edge.reject_from, end)
    system = choose_system(tied, later, defective.parts, limits, weights_compared)
    gate = Gate(
        edge.pass_below,
        edge.reject_from,
        system.threshold if system else before.cloud_reject_from,
        before.tail_weight,
    )
    return ChosenGate(gate, edge.escapes, edge.overkill, system)


def pass_below(defective: Scored, limit: float, delta: float) -> Tested | None:
    """The highest threshold at which at most a share `limit` of defective parts pass."""
    return last_safe(GRID, passing(defective), defective.parts, limit, delta)


def reject_from(good: Scored, limit: float, delta: float) -> Tested | None:
    """The lowest threshold at which at most a share `limit` of good parts are rejected."""
    return last_safe(GRID[::-1], rejected(good)[::-1], good.parts, limit, delta)


def passing(scored: Scored) -> Counts:
    """How many parts pass the edge with each threshold of GRID as `pass_below`."""
    return below(binned(scored.first_to_pass()))


def rejected(scored: Scored) -> Counts:
    """How many are rejected at the edge with each threshold of GRID as `reject_from`."""
    return scored.parts - below(binned(scored.first_to_reject()))
