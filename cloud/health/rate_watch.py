"""Rates of a line beside its own past, minute by minute, with few false alarms.

Each whole minute of a day is one look at the newest WINDOW minutes. With ALPHA a look, a rate that
stays the same raises at most LOOKS_A_DAY × ALPHA = 1/10 false alarms a day, by the union bound,
however much the windows have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple

from cloud.health.evidence import binomial_tail, hypergeometric_tail
from shared.format import percent

RateName = Literal["reject_rate", "deadline_share", "missed_pictures"]
WINDOW = 5
LOOKS_A_DAY = 24 * 60
ALPHA = 1 / (10 * LOOKS_A_DAY)
# Once told it stays told until it is no surprise at all, or it would come and go.
LEAVE = 0.01
# A jump that is sure but small is nobody's trouble: lots differ.
JUMP_FACTOR = 1.5
JUMP_LEAST = 0.02


class Counted(NamedTuple):
    """Parts of some time.

    rejected  by edge or cloud, without those that the deadline diverted
    deadline  decided by the deadline
    unseen    without a score: there was no picture, or the head failed
    """

    parts: int = 0
    rejected: int = 0
    deadline: int = 0
    unseen: int = 0

    def plus(self, other: Counted) -> Counted:
        return Counted(*(one + two for one, two in zip(self, other, strict=True)))


NOTHING = Counted()


@dataclass(frozen=True, slots=True)
class RateFinding:
    """A rate that is too high.

    since         the start of the first minute that showed it, UTC seconds
    count, parts  of the newest WINDOW whole minutes
    """

    name: RateName
    severity: Literal["bad", "warn"]
    since: float
    count: int
    parts: int
    says: str
    fix: str


FIXES: dict[RateName, str] = {
    "reject_rate": "look at the last rejects: is it the parts, or light, lens and camera?",
    "deadline_share": "see the link, the broker and the cloud: nobody answered in time",
    "missed_pictures": "see camera, trigger and light of the line's boxes",
}


def found_rates(
    minutes: Mapping[int, Counted], past: Counted, now: float, *, most: Mapping[RateName, float]
) -> list[RateFinding]:
    """minutes: by their start, UTC seconds; past: what came before them; most: a limit of each"""
    if not minutes:
        return []
    first, end = min(minutes), int(now // 60) * 60
    starts = range(first, end, 60)
    rows = [minutes.get(at, NOTHING) for at in starts]
    found = []
    for name in most:
        since = _since(name, rows, past, most[name])
        window = _sum(rows[-WINDOW:])
        count, parts = _of(name, window)
        if since is not None and count:
            before = _of(name, past.plus(_sum(rows[:-WINDOW])))
            says = _says(name, count, parts, before)
            bad = name == "deadline_share" or count * 10 >= parts
            severity: Literal["bad", "warn"] = "bad" if bad else "warn"
            at = float(starts[since])
            found.append(RateFinding(name, severity, at, count, parts, says, FIXES[name]))
    return found


def fast_rate(minutes: Mapping[int, Counted], now: float) -> float | None:
    """Parts a minute over the last five, or over fewer where parts began to come later; None where
    none came."""
    end = int(now // 60) * 60
    recent = [at for at in range(end - 240, end + 60, 60) if minutes.get(at, NOTHING).parts]
    if not recent:
        return None
    began = max(end - 240, recent[0])
    return sum(minutes[at].parts for at in recent) / max((now - began) / 60, 1.0)


def _since(name: RateName, rows: Sequence[Counted], past: Counted, most: float) -> int | None:
    """From which minute on it has been told; None: it is not, by the last one."""
    since: int | None = None
    marked, parts_before = _of(name, past)
    # Sums up to each minute: what a window holds is the difference of two.
    own = [_of(name, row) for row in rows]
    counts = [0, *accumulate(count for count, _ in own)]
    parts_upto = [0, *accumulate(parts for _, parts in own)]
    for place in range(len(rows)):
        first = max(0, place - WINDOW + 1)
        count = counts[place + 1] - counts[first]
        parts = parts_upto[place + 1] - parts_upto[first]
        before = (marked + counts[first], parts_before + parts_upto[first])
        surprise = _surprise(name, count, parts, before, most)
        if since is None and surprise < ALPHA:
            since = place
        elif since is not None and surprise > LEAVE:
            since = None
    return since


def _surprise(
    name: RateName, count: int, parts: int, before: tuple[int, int], most: float
) -> float:
    """How improbable so many are, by the limit or by the line's own past."""
    if not count:
        return 1.0
    # What is no more than the limit can be no surprise: most looks end here.
    surprise = binomial_tail(count, parts, most) if count > parts * most else 1.0
    marked, earlier = before
    if name == "reject_rate" and earlier:
        rate, usual = count / parts, marked / earlier
        if rate >= JUMP_FACTOR * usual and rate >= usual + JUMP_LEAST:
            jump = hypergeometric_tail(count, parts, count + marked, parts + earlier)
            surprise = min(surprise, jump)
    return surprise


def _of(name: RateName, counted: Counted) -> tuple[int, int]:
    if name == "reject_rate":
        return counted.rejected, counted.parts - counted.deadline
    return (counted.deadline if name == "deadline_share" else counted.unseen), counted.parts


def _sum(rows: Sequence[Counted]) -> Counted:
    total = NOTHING
    for row in rows:
        total = total.plus(row)
    return total


def _says(name: RateName, count: int, parts: int, before: tuple[int, int]) -> str:
    of = f"{count:,} of {parts:,} parts in {WINDOW} minutes"
    if name == "deadline_share":
        return f"{of} were diverted by the deadline: nobody answered in time"
    if name == "missed_pictures":
        return f"{of} had no picture or no score"
    marked, earlier = before
    usual = f"; before it were {percent(marked, earlier)}" if earlier else ""
    return f"{percent(count, parts)} rejected ({of}){usual}"
