"""What a network made of the pictures of parts, and what a gate makes of that, part by part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.certification.gate import Gate

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NovelPictures:
    """Pictures that are unlike anything that the network was shown, bool (n,).

    edge    as the box sees them: it decides nothing of them
    cloud   as they arrived there: it neither passes nor rejects them
    """

    edge: NDArray[np.bool_]
    cloud: NDArray[np.bool_]

    def among(self, wanted: NDArray[np.bool_]) -> NovelPictures:
        return NovelPictures(self.edge[wanted], self.cloud[wanted])


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of the pictures of parts that are all defective, or all good.

    part    int (n,): which part a picture shows, 0 to parts − 1, each at least once
    edge    (n,): the head's, 0–1; a picture whose score is not finite escalates
    cloud   (n,): head and tail together, 0–1; a picture whose score is NaN is rejected
    novel   which of them are novel; None: nobody asks. Scores alone decide what `first_to_…` and
            `…_together` say: with novelty less is passed, and less rejected
    """

    part: NDArray[np.intp]
    edge: Floats
    cloud: Floats
    novel: NovelPictures | None = None

    @property
    def parts(self) -> int:
        return int(self.part.max()) + 1 if len(self.part) else 0

    def lowest(self, scores: Floats, among: NDArray[np.bool_]) -> Floats:
        """Each part's lowest score `among` its pictures, (parts,); +inf where it has none."""
        found = np.full(self.parts, np.inf)
        np.minimum.at(found, self.part[among], scores[among])
        return found

    def first_to_pass(self) -> Floats:
        """(parts,): the part passes at the edge where one of its pictures scores below."""
        return self.lowest(self.edge, np.isfinite(self.edge))

    def first_to_reject(self) -> Floats:
        """(parts,): the part is rejected at the edge from this threshold down."""
        return -self.lowest(-self.edge, np.isfinite(self.edge))

    def first_to_pass_cloud(self, reject_from: float) -> Floats:
        """(parts,): the same for the cloud, of pictures that the edge does not reject."""
        sent = ~np.isfinite(self.edge) | (self.edge < reject_from)
        return self.lowest(self.cloud, sent & ~np.isnan(self.cloud))

    def passing_together(self, gate: Gate) -> Floats:
        """(parts,): the part passes edge and cloud where the cloud rejects from above this score.

        −inf where the edge passes it, +inf where nothing does; `gate` decides at the edge only.
        """
        passed = np.isfinite(self.edge) & (self.edge < gate.pass_below)
        among = passed | (self.escalated(gate) & ~np.isnan(self.cloud))
        return self.lowest(np.where(passed, -np.inf, self.cloud), among)

    def rejecting_together(self, gate: Gate) -> Floats:
        """(parts,): edge or cloud reject the part where the cloud rejects from up to this score."""
        rejected = np.isfinite(self.edge) & (self.edge >= gate.reject_from)
        surely = rejected | np.isnan(self.cloud)
        among = rejected | self.escalated(gate)
        return -self.lowest(np.where(surely, -np.inf, -self.cloud), among)

    def passed(self, gate: Gate, *, with_cloud: bool) -> int:
        """Parts of which the gate, or the gate and the cloud, passes a picture."""
        found = self._decided(self.edge < gate.pass_below)
        if with_cloud:
            found |= self.escalated(gate) & self._cloud_passes(gate)
        return self._parts_with(found)

    def rejected(self, gate: Gate, *, with_cloud: bool) -> int:
        """Parts of which the gate, or the gate and the cloud, rejects a picture."""
        found = self._decided(self.edge >= gate.reject_from)
        if with_cloud:
            found |= self.escalated(gate) & self._cloud_rejects(gate)
        return self._parts_with(found)

    def unsure(self, gate: Gate) -> NDArray[np.bool_]:
        """Pictures that the edge does not decide, (n,)."""
        return ~self._decided((self.edge < gate.pass_below) | (self.edge >= gate.reject_from))

    def escalated(self, gate: Gate) -> NDArray[np.bool_]:
        """Pictures that the gate sends to the cloud, (n,)."""
        return self.unsure(gate) & gate.escalates

    def reviewed(self, gate: Gate) -> NDArray[np.bool_]:
        """Pictures that a person shall look at, (n,)."""
        unsure = self.unsure(gate)
        if not gate.escalates:
            return unsure
        return unsure & ~self._cloud_passes(gate) & ~self._cloud_rejects(gate)

    def parts_reviewed(self, gate: Gate) -> int:
        """Parts of which a person shall look at a picture."""
        return self._parts_with(self.reviewed(gate))

    def parts_novel(self) -> int:
        """Parts of which a picture is novel to the box."""
        return 0 if self.novel is None else self._parts_with(self.novel.edge)

    def _decided(self, by_score: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pictures of these that the edge decides, (n,)."""
        decided = by_score & np.isfinite(self.edge)
        return decided if self.novel is None else decided & ~self.novel.edge

    def _known(self, by_score: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return by_score if self.novel is None else by_score & ~self.novel.cloud

    def _cloud_passes(self, gate: Gate) -> NDArray[np.bool_]:
        below = gate.cloud_reject_from if gate.cloud_pass_below is None else gate.cloud_pass_below
        return self._known(self.cloud < below)

    def _cloud_rejects(self, gate: Gate) -> NDArray[np.bool_]:
        if gate.cloud_pass_below is None:
            return self._known(~(self.cloud < gate.cloud_reject_from))
        return self._known(self.cloud >= gate.cloud_reject_from)

    def _parts_with(self, pictures: NDArray[np.bool_]) -> int:
        return len(np.unique(self.part[pictures]))


def by_kind(
    part: NDArray[np.intp],
    defective: NDArray[np.bool_],
    edge: Floats,
    cloud: Floats,
    novel: NovelPictures | None = None,
) -> tuple[Scored, Scored]:
    """Defective parts, then good ones.

    part       (n,): which part a picture shows, 0 to parts − 1; its scores beside it
    defective  (parts,)
    """

    def kind(wanted: NDArray[np.bool_]) -> Scored:
        among, number = wanted[part], np.cumsum(wanted) - 1
        strange = novel.among(among) if novel is not None else None
        return Scored(number[part[among]], edge[among], cloud[among], strange)

    return kind(defective), kind(~defective)
