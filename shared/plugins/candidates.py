"""Where the cloud's own process puts a bundle that a person may let out to the fleet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

WriteBundle = Callable[[Path], object]
"""Writes the bundle to where it is told."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a gate does with parts that are known: defective ones that pass, good ones that are
    rejected without a person."""

    escapes: int
    overkill: int
    good: int
    defective: int


@dataclass(frozen=True, slots=True)
class OfferedCandidate:
    """The same model with another gate.

    model, version   of the bundle
    parent           the id of the bundle that it was made from
    by, why          who wants it, and the reason
    certificate      what it promises, in a sentence; or why it promises nothing
    certified        whether it promises anything
    gate             in a sentence
    before, after    both gates on the same parts, as found
    doubt            why a person should look before it goes out; empty where there is no reason to
    created          UTC, as a manifest keeps it
    """

    model: str
    version: str
    parent: str
    by: str
    why: str
    certificate: str
    certified: bool
    gate: str
    before: Standing
    after: Standing
    doubt: str
    created: str


class CandidateShelf(Protocol):
    """Keeps candidates until somebody approves or rejects them."""

    def taken(self, model: str) -> Collection[str]:
        """Versions of a model that another one has: a release, or a candidate whatever became of
        it. Raises SplitsightError where they can't be read."""

    def offer(self, candidate: OfferedCandidate, write: WriteBundle) -> str:
        """Have the bundle written and keep it; the candidate's name.

        Raises SplitsightError where it can't be kept, or was offered already.
        """


@runtime_checkable
class HasShelf(Protocol):
    """A service with a shelf."""

    @property
    def shelf(self) -> CandidateShelf: ...


@dataclass(slots=True)
class MemoryShelf:
    """Keeps them in a folder and in memory: for tests."""

    folder: Path
    offered: list[OfferedCandidate] = field(default_factory=list)

    def taken(self, model: str) -> Collection[str]:
        return [one.version for one in self.offered if one.model == model]

    def offer(self, candidate: OfferedCandidate, write: WriteBundle) -> str:
        name = f"{candidate.model}-{candidate.version}"
        write(self.folder / name)
        self.offered.append(candidate)
        return name
