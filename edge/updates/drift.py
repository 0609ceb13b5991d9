"""What tells a model that works from one that is blind, slow or of another mind: numbers in, words
out.

Scores of two models are compared on ten equal bins by the population stability index, PSI (Siddiqi,
Credit Risk Scorecards, 2006): a finer measure, such as Kolmogorov and Smirnov's, is alarmed by two
sound models that put good parts at 0.02 and at 0.05. Two samples of one distribution have a PSI of
(bins - 1) (1/n + 1/m) on average (Yurdakul, 2018), which is allowed on top of the limit. Decisions
are compared by their shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shared.contracts import Decision

BINS = 10
# Half a part in every bin, so that an empty one is no infinity.
SMOOTHING = 0.5


class Looked(NamedTuple):
    """What a model made of one part, in so many seconds."""

    score: float
    decision: Decision
    seconds: float


@dataclass(frozen=True, slots=True)
class DriftLimits:
    """From where on a model is taken for bad.

    budget_s   of a look: its 10th percentile in a shadow run, its 99th in a trial
    slower     times as slow as the model before, where the machine was slow already
    spread     of scores, 0–1: below it all parts look alike
    contrary   share of parts that one passes and the other rejects
    more       by how much the share of parts that pass, or that escalate, may grow
    psi        of the scores, above what chance gives; 0.25 is usually called a major shift
    enough     parts before shares and PSI mean something
    failures   parts that could not be looked at
    """

    budget_s: float
    slower: float = 2.0
    spread: float = 0.002
    contrary: float = 0.2
    more: float = 0.3
    psi: float = 1.0
    enough: int = 30
    failures: int = 2


def quantile(looks: Sequence[Looked], share_below: float) -> float:
    """Of the seconds that a look took; 0 for no looks."""
    return float(np.quantile([look.seconds for look in looks], share_below)) if looks else 0.0


def p99(looks: Sequence[Looked]) -> float:
    return quantile(looks, 0.99)


def spread(looks: Sequence[Looked]) -> float:
    """Between the highest score and the lowest."""
    scores = [look.score for look in looks if math.isfinite(look.score)]
    return max(scores) - min(scores) if scores else 0.0


def share(looks: Sequence[Looked], *decisions: Decision) -> float:
    return sum(look.decision in decisions for look in looks) / len(looks) if looks else 0.0


def psi(before: Sequence[float], now: Sequence[float]) -> float:
    """Population stability index of two sets of scores, 0 where they are spread alike."""
    shares = []
    for scores in (before, now):
        counts, _ = np.histogram(np.clip(np.nan_to_num(scores, nan=1.0), 0, 1), BINS, (0, 1))
        shares.append((counts + SMOOTHING) / (counts + SMOOTHING).sum())
    was, is_now = shares
    return float(((is_now - was) * np.log(is_now / was)).sum())


def against_candidate(
    live: Sequence[Looked], candidate: Sequence[Looked], limits: DriftLimits
) -> str:
    """Why a model that looked at the same parts as the live one must not run; empty: nothing.

    live, candidate  of the same parts, in the same order
    """
    if not candidate:
        return ""
    if reason := _without_numbers(candidate):
        return reason
    # At the lowest priority most looks say how busy the machine is; the quickest, how quick it is.
    if reason := _slow(quantile(candidate, 0.1), "10th percentile", limits.budget_s):
        return reason
    if _alike(candidate, limits) and not _alike(live, limits):
        return f"blind: all {len(candidate)} parts score {candidate[0].score:.3f}"
    opposite = {Decision.PASS, Decision.REJECT}
    contrary = sum(
        {one.decision, two.decision} == opposite for one, two in zip(live, candidate, strict=True)
    )
    if contrary / len(candidate) > limits.contrary:
        return f"it contradicts the live model on {contrary} of {len(candidate)} parts"
    return _shifted(live, candidate, limits)


def against_trial(
    before: Sequence[Looked], now: Sequence[Looked], failures: int, limits: DriftLimits
) -> str:
    """Why a model on trial must go; empty: nothing.

    before    looks of the one that ran before, at other parts; may be none
    failures  parts that it could not look at
    """
    if failures >= limits.failures:
        return f"the head failed on {failures} parts"
    if len(now) < limits.failures:
        return ""
    allowed = max(limits.budget_s, limits.slower * p99(before))
    reason = _without_numbers(now) or _slow(p99(now), "99th percentile", allowed)
    if reason or min(len(now), len(before)) < limits.enough:
        return reason
    if _alike(now, limits) and not _alike(before, limits):
        return f"blind: {len(now)} parts score {now[0].score:.3f}"
    return _shifted(before, now, limits)


def _without_numbers(looks: Sequence[Looked]) -> str:
    lost = sum(not math.isfinite(look.score) for look in looks)
    return f"{lost} of {len(looks)} scores are no number" if lost else ""


def _slow(found: float, what: str, allowed: float) -> str:
    if found <= allowed:
        return ""
    return (
        f"slow: the {what} of a look is {found * 1000:.0f} ms, "
        f"at most {allowed * 1000:.0f} are allowed"
    )


def _alike(looks: Sequence[Looked], limits: DriftLimits) -> bool:
    return len(looks) >= 5 and spread(looks) < limits.spread


def _shifted(before: Sequence[Looked], now: Sequence[Looked], limits: DriftLimits) -> str:
    if len(now) < limits.enough or len(before) < limits.enough:
        return ""
    # Whom it asks, the cloud or a person, is the gate's affair.
    unsure = (Decision.ESCALATE, Decision.REVIEW)
    for decisions, what in (((Decision.PASS,), "passes"), (unsure, "escalates")):
        was, is_now = share(before, *decisions), share(now, *decisions)
        if is_now - was > limits.more and _beyond_chance(was, len(before), is_now, len(now)):
            return f"it {what} {is_now:.0%} of parts, {was:.0%} were usual"
    moved = psi([look.score for look in before], [look.score for look in now])
    allowed = limits.psi + (BINS - 1) * (1 / len(before) + 1 / len(now))
    if moved > allowed:
        return f"its scores are spread otherwise: PSI {moved:.2f}, at most {allowed:.2f}"
    return ""


def _beyond_chance(one: float, n: int, two: float, m: int) -> bool:
    """Whether two shares differ by more than three standard errors."""
    pooled = (one * n + two * m) / (n + m)
    error = math.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / n + 1 / m))
    return abs(one - two) > 3 * error
