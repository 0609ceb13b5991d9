"""The groups of a data set's pictures, and how each of them fares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import GOOD, Dataset, Sample
from cloud.evaluation.verdicts import SampleVerdicts
from cloud.statistics.intervals import part_rate
from shared.bundles.robustness import LONGEST_NAME, CountedParts, Fate, GroupFate
from shared.certification.scores import NovelPictures

MOST = 20
"""Groups of one kind, those with the most parts."""

Mask = NDArray[np.bool_]

_NAMED: dict[str, Callable[[Sample], str]] = {
    "domain": lambda one: one.domain,
    "line": lambda one: one.line,
    "lot": lambda one: one.lot,
    "defect": lambda one: "" if one.defect == GOOD else one.defect,
}
"""What the group of one kind is called that a sample belongs to; empty: it belongs to none."""


class PartGroups:
    """The groups that a data set has: its domains, lines, lots and kinds of defect, where there are
    several. Of each at most MOST; lines that are the domains are not told twice.

    smaller   how many there are beside those, by what they are, such as {"lot": 980}
    """

    def __init__(self, dataset: Dataset) -> None:
        self._labels, self._parts = dataset.labels, dataset.parts
        self.smaller: dict[str, int] = {}
        self._groups: list[tuple[str, str, Mask]] = []
        names = {by: [named(s) for s in dataset.samples] for by, named in _NAMED.items()}
        both = set(zip(names["domain"], names["line"], strict=True))
        if len(both) == len(set(names["domain"])) == len(set(names["line"])):
            del names["line"]
        for by, own in names.items():
            self._add(by, own)

    def _add(self, by: str, own: list[str]) -> None:
        parts = Counter(name for name, _ in set(zip(own, self._parts, strict=True)) if name)
        if len(parts) < 2:
            return
        largest = sorted(parts, key=lambda name: (-parts[name], name))[:MOST]
        if len(parts) > MOST:
            self.smaller[by] = len(parts) - MOST
        self._groups += [
            (by, name[:LONGEST_NAME], np.array([one == name for one in own]))
            for name in sorted(largest)
        ]

    def fates(
        self, said: SampleVerdicts, novel: NovelPictures | None
    ) -> tuple[Fate, list[GroupFate]]:
        """Of all pictures, and of each group."""
        everything = np.ones(len(self._labels), bool)

        def fate(among: Mask) -> Fate:
            return Fate(
                escapes=self._counted(said.system.passed, among & self._labels),
                overkill=self._counted(said.system.rejected, among & ~self._labels),
                reviewed=self._counted(said.reviewed, among),
                escalated=float(said.escalated[among].mean()),
                novel=None if novel is None else float(novel.edge[among].mean()),
            )

        groups = [GroupFate(by, name, fate(members)) for by, name, members in self._groups]
        return fate(everything), groups

    def _counted(self, what: Mask, among: Mask) -> CountedParts:
        found = part_rate(what, among, self._parts)
        return CountedParts.of(found.wrong, found.parts)
