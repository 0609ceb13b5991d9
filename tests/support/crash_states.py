"""What a power cut can leave of writes that were not flushed: every state, or a fair sample.

The model is that of a disk with a volatile cache, as in Pillai et al., "All File Systems Are Not
Created Equal" (OSDI 2014), and in SQLite's own crash tests: what was flushed is there; of what was
written since, any subset is there, in any order. Storage is a map from places (a sector, a file's
length) to values, and each place holds what was flushed or any of the values written to it since.
That covers lost, reordered and torn writes at once, since a write is one value a place.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.errors import SettingsError

P = TypeVar("P", bound=Hashable)
EXHAUSTIVE = 256
SAMPLES = 64


@dataclass(frozen=True, slots=True)
class CrashState(Generic[P]):
    """What one power cut left.

    flushed    place → value that was on the disk for sure
    survived   place → value of those that were written since and happened to be there
    confirmed  how many confirmations the writer had been given at most
    """

    flushed: Mapping[P, bytes]
    survived: Mapping[P, bytes]
    confirmed: int

    def get(self, place: P) -> bytes | None:
        """The place's value, None where it never had one."""
        found = self.survived.get(place)
        return self.flushed.get(place) if found is None else found

    def places(self) -> set[P]:
        return self.flushed.keys() | self.survived.keys()


@dataclass
class Coverage:
    """How much of what was possible was tried.

    intervals   between flushes
    possible    states, equal ones counted as often as they are reached
    tried       different states that came out
    sampled     intervals of which not every state came out
    """

    intervals: int = 0
    possible: int = 0
    tried: int = 0
    sampled: int = 0


@dataclass(frozen=True, slots=True)
class Effort:
    """How many states to try in an interval between flushes.

    exhaustive  all of them where they are no more than so many
    samples     else so many, chosen by `seed`; the extremes come first
    """

    exhaustive: int = EXHAUSTIVE
    samples: int = SAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        if self.exhaustive < 1 or self.samples < 1:
            raise SettingsError(
                f"{self.exhaustive} exhaustive states and {self.samples} samples can't be tried",
                fix="ask for at least 1 of each",
            )


USUAL = Effort()


@dataclass(slots=True)
class _Interval(Generic[P]):
    """What may differ at a cut before one flush was complete."""

    flushed: dict[P, bytes]
    pending: dict[P, list[bytes]]
    confirmed: int

    @property
    def possible(self) -> int:
        return math.prod(1 + len(values) for values in self.pending.values())


@dataclass
class Ledger(Generic[P]):
    """Writes and flushes, in the order in which they were made. For one thread at a time.

    tears   what else a torn write may leave of a place: (before, after) → values; before is
            empty for a place that never had one
    """

    initial: Mapping[P, bytes] = field(default_factory=dict)
    tears: Callable[[bytes, bytes], list[bytes]] = field(default=lambda _before, _after: [])
    _steps: list[tuple[P, bytes] | frozenset[P] | None] = field(default_factory=list)
    _confirmed: list[int] = field(default_factory=list)

    def write(self, place: P, value: bytes) -> None:
        self._steps.append((place, value))

    def flush(self, places: frozenset[P] | None = None) -> None:
        """These places are on the disk as they were written last; None: all of them."""
        self._steps.append(places)

    def confirm(self) -> int:
        """Somebody was told that what was written so far is safe; how many confirmations it makes.

        The n-th confirmation holds in every state whose `confirmed` is at least n.
        """
        self._confirmed.append(len(self._steps))
        return len(self._confirmed)

    def states(
        self, effort: Effort = USUAL, coverage: Coverage | None = None
    ) -> Iterator[CrashState[P]]:
        """Every different state, or a sample; `coverage` is filled as they come."""
        count = coverage if coverage is not None else Coverage()
        rng = random.Random(effort.seed)  # noqa: S311 - repeatable, not secret
        seen: set[tuple[int, int]] = set()
        for interval in self._intervals():
            count.intervals += 1
            count.possible += interval.possible
            every = interval.possible <= effort.exhaustive
            count.sampled += not every
            digest = _Digest(interval.flushed)
            choices = _all(interval) if every else _some(interval, effort.samples, rng)
            for survived in choices:
                key = (digest.of(survived), interval.confirmed)
                if key not in seen:
                    seen.add(key)
                    count.tried += 1
                    yield CrashState(interval.flushed, survived, interval.confirmed)

    def _intervals(self) -> Iterator[_Interval[P]]:
        flushed = dict(self.initial)
        pending: dict[P, list[bytes]] = {}
        for number, step in enumerate(self._steps):
            if isinstance(step, tuple):
                place, value = step
                before = pending.get(place, [flushed.get(place, b"")])[-1]
                pending.setdefault(place, []).extend([*self.tears(before, value), value])
                continue
            yield self._interval(flushed, pending, number)
            done = [place for place in pending if step is None or place in step]
            flushed = flushed | {place: pending.pop(place)[-1] for place in done}
        yield self._interval(flushed, pending, len(self._steps))

    def _interval(
        self, flushed: dict[P, bytes], pending: dict[P, list[bytes]], step: int
    ) -> _Interval[P]:
        distinct = {
            place: [v for v in dict.fromkeys(values) if v != flushed.get(place)]
            for place, values in pending.items()
        }
        confirmed = sum(at <= step for at in self._confirmed)
        return _Interval(flushed, {p: v for p, v in distinct.items() if v}, confirmed)


def _all(interval: _Interval[P]) -> Iterator[dict[P, bytes]]:
    places = list(interval.pending)
    options = [[None, *interval.pending[place]] for place in places]
    for chosen in itertools.product(*options):
        yield {p: v for p, v in zip(places, chosen, strict=True) if v is not None}


def _some(interval: _Interval[P], samples: int, rng: random.Random) -> Iterator[dict[P, bytes]]:
    """Nothing, everything, then writes lost at random with a chance that is itself drawn."""
    pending = interval.pending
    yield {}
    yield {place: values[-1] for place, values in pending.items()}
    for _ in range(max(0, samples - 2)):
        match rng.randrange(4):
            case 0:
                # In order up to some point: a cut between two writes.
                last = rng.randrange(len(pending) + 1)
                kept = list(pending)[:last]
            case 1:
                missing = rng.choice(list(pending))
                kept = [place for place in pending if place != missing]
            case _:
                chance = rng.random()
                kept = [place for place in pending if rng.random() < chance]
        yield {
            place: pending[place][-1] if rng.random() < 0.5 else rng.choice(pending[place])
            for place in kept
        }


class _Digest(Generic[P]):
    """A hash that changes place by place, so that a state costs what differs in it.

    Source: Zobrist, "A New Hashing Method with Application for Game Playing" (1970).
    """

    def __init__(self, flushed: Mapping[P, bytes]) -> None:
        self._flushed = flushed
        self._changes: dict[tuple[P, bytes], int] = {}
        self._base = 0
        for place, value in flushed.items():
            self._base ^= _hash(place, value)

    def of(self, survived: Mapping[P, bytes]) -> int:
        """Of the state in which these values replace what was flushed."""
        total = self._base
        for place, value in survived.items():
            key = (place, value)
            change = self._changes.get(key)
            if change is None:
                before = self._flushed.get(place)
                change = _hash(place, value) ^ (0 if before is None else _hash(place, before))
                self._changes[key] = change
            total ^= change
        return total


def _hash(place: Hashable, value: bytes) -> int:
    name = repr(place).encode()
    return int.from_bytes(hashlib.blake2b(name + b"\0" + value, digest_size=16).digest(), "big")
