"""How surprising a count is: exact tails, in plain Python, for parts by the ten thousand."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, lgamma, log, log1p

NEGLIGIBLE = 1e-20


def binomial_tail(count: int, parts: int, rate: float) -> float:
    """P(`count` or more of `parts`), each with probability `rate`, 0–1."""
    if count <= 0:
        return 1.0
    if count > parts or rate <= 0.0:
        return 0.0
    if rate >= 1.0:
        return 1.0

    odds = rate / (1.0 - rate)

    def ratio(k: int) -> float:
        return (parts - k) / (k + 1) * odds

    top = min(max(count, int((parts + 1) * rate)), parts)
    weight = _choose(parts, top) + top * log(rate) + (parts - top) * log1p(-rate)
    return min(exp(weight) * _relative(count, top, parts, ratio), 1.0)


def hypergeometric_tail(count: int, drawn: int, marked: int, parts: int) -> float:
    """P(`count` or more marked ones among `drawn`), of `parts` of which `marked` are.

    It is Fisher's exact test, one-sided (Fisher 1935): whether two lots of parts, of which the
    drawn are one, may well have the same share of marked ones.
    """
    if count <= max(0, drawn - (parts - marked)):
        return 1.0
    most = min(drawn, marked)
    if count > most:
        return 0.0
    others = parts - marked - drawn + 1

    def ratio(k: int) -> float:
        return (marked - k) * (drawn - k) / ((k + 1) * (others + k))

    top = min(max(count, (drawn + 1) * (marked + 1) // (parts + 2)), most)
    weight = _choose(marked, top) + _choose(parts - marked, drawn - top) - _choose(parts, drawn)
    return min(exp(weight) * _relative(count, top, most, ratio), 1.0)


def control_limits(parts: int, rate: float, beyond: float = 0.00135) -> tuple[float, float]:
    """Between what the share of `parts` lies but for a chance of `beyond` at either side.

    A chart's usual three standard deviations, exact (Shewhart's p-chart): a share outside is not
    chance alone. 0 to 1 for no parts.
    """
    if parts <= 0:
        return 0.0, 1.0
    above = _first(parts, lambda k: binomial_tail(k, parts, rate) < beyond)
    under = _first(parts, lambda k: binomial_tail(parts - k, parts, 1.0 - rate) >= beyond)
    return max(0, under) / parts, min(parts, above) / parts


def _first(parts: int, holds: Callable[[int], bool]) -> int:
    """The smallest count for which it holds, which does for all larger ones."""
    low, high = 0, parts + 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _relative(first: int, top: int, last: int, ratio: Callable[[int], float]) -> float:
    """The sum of the terms from `first` to `last`, as a multiple of that at `top`, the largest.

    ratio   of the term after k to that at k. A term from its neighbour takes no logarithm, and far
            from the largest they fall fast, so it ends soon
    """
    total = term = 1.0
    for k in range(top, last):
        term *= ratio(k)
        total += term
        if term < total * NEGLIGIBLE:
            break
    term = 1.0
    for k in range(top - 1, first - 1, -1):
        term /= ratio(k)
        total += term
        if term < total * NEGLIGIBLE:
            break
    return total


def _choose(parts: int, count: int) -> float:
    """log of the number of ways."""
    return lgamma(parts + 1) - lgamma(count + 1) - lgamma(parts - count + 1)
