"""A shift before the demo began: what the bundle makes of real cells, dated back over its hours.

A chart of the shift says nothing that the demo's own parts would not. Times are drawn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from cloud.accounts.audit import AuditLog
from cloud.labels.history import LabelHistory, Said
from cloud.labels.opinions import LabelOpinion
from cloud.labels.second_looks import Judgement, looks_needed
from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.records.tables import SAMPLE_EVERY, InspectionRow, TailRow, inspection_row
from edge.journal.picture_ring import digest_of
from hardware_sim.demo.cells import Lane
from hardware_sim.demo.journals import KeptPart
from hardware_sim.demo.judgement import CellJudge, Judged
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.contracts import InspectionKey, PlainVerdict
from shared.topics import Address
from shared.web.access import Caller

BOOT = "shift-before"
HOURS = 8.0
EVERY_S = 30.0
PARTS = int(HOURS * 3600 / EVERY_S)
"""Of a line."""
CELLS = 36
LABELS = 24
"""Of a line: so many of the parts that waited for a person have been seen to, the oldest first."""
SECOND_EVERY = 4
AT_ONCE = 2_000
LOTS = 4
BURST_S = 360.0
"""At the end, on the last line: a bad batch, so that there is an alert to see to."""


class SpokenLabel(NamedTuple):
    """What an inspector said, and when: UTC seconds."""

    at: float
    said: Said


class WrittenShift(NamedTuple):
    """How many parts it came to, and what each device's journal still has of them."""

    parts: int
    kept: Mapping[str, Sequence[KeptPart]]


@dataclass(frozen=True, slots=True)
class ShiftHistory:
    """Fills a database that has no records yet.

    now        when the shift ends, UTC seconds
    inspectors who labelled what waited, and who looked again at one of SECOND_EVERY and was not
               told what the first one had said
    """

    bundle: Bundle
    lanes: Sequence[Lane]
    site: str
    now: float
    inspectors: tuple[str, str]
    runtime: str = "auto"

    def write(self, database: Database) -> WrittenShift:
        """Raises RecordsError, and what opening the bundle raises."""
        store, written, spoken = RecordStore(database), 0, list[SpokenLabel]()
        kept: dict[str, Sequence[KeptPart]] = {}
        judge = CellJudge(self.bundle, self.runtime)
        for lane in self.lanes:
            judged = [judge.judge(cell) for cell in lane.cells[:CELLS]]
            dice = random.Random(lane.device)  # noqa: S311 - times of a demo
            address = Address(self.site, lane.line, lane.device)
            rows, tails, labels, kept[lane.device] = self._parts(lane, judged, address, dice)
            for start in range(0, len(rows), AT_ONCE):
                store.save(rows[start : start + AT_ONCE])
            store.save(tails=tails)
            spoken += labels
            written += len(rows)
        self._say(database, spoken)
        return WrittenShift(written, kept)

    def _say(self, database: Database, spoken: list[SpokenLabel]) -> None:
        """As the pages would have, one after the other."""
        clock = ManualClock(utc=self.now - HOURS * 3600)
        history = LabelHistory(database, clock, AuditLog(database, clock))
        for at, said in sorted(spoken, key=lambda one: one.at):
            clock.advance(at - clock.utc())
            history.say([said], Caller(said.inspector, "inspector"))

    def _parts(
        self, lane: Lane, judged: Sequence[Judged], address: Address, dice: random.Random
    ) -> tuple[list[InspectionRow], list[TailRow], list[SpokenLabel], list[KeptPart]]:
        rows: list[InspectionRow] = []
        tails: list[TailRow] = []
        labels: list[SpokenLabel] = []
        kept: list[KeptPart] = []
        came = self._came(lane, judged, dice)
        looked_at = 0
        for number, one in came.items():
            at = self.now - (PARTS - number + 1) * EVERY_S + dice.uniform(0, EVERY_S / 2)
            key = {"boot": BOOT, "sequence": number}
            spoken = list[SpokenLabel]()
            unsure = one.inspection.verdict == "review"
            if unsure and looked_at < LABELS:
                looked_at += 1
                twice = looked_at % SECOND_EVERY == 0
                spoken = list(self._labels(address, number, one, at, dice, twice=twice))
            open_ = not spoken and (unsure or number % SAMPLE_EVERY == 0)
            # What a person may be given to look at, their box can show.
            picture = one.cell.image if open_ or _again(spoken) else None
            edge_ms = one.inspection.edge_ms * dice.uniform(0.9, 1.3)
            waited = one.tail["cloud_ms"] * dice.uniform(2.0, 4.0) if one.tail else 0.4
            told = msgspec.structs.replace(
                one.inspection,
                boot=BOOT,
                sequence=number,
                part=number,
                inspected_at=at,
                lot=f"lot-{1 + (number - 1) * LOTS // PARTS}",
                edge_ms=edge_ms,
                total_ms=edge_ms + waited,
                digest=digest_of(picture.read_bytes() if picture else None),
            )
            rows.append(inspection_row(address, told, at + 0.3))
            if one.tail is not None:
                place = {"site": address.site, "line": address.line, "device": address.device}
                tails.append({**one.tail, **key, **place, "part": number, "received_at": at + 0.1})
            labels += spoken
            # The last one says with which number the box goes on.
            if picture or number == PARTS:
                kept.append(KeptPart(told, picture))
        return rows, tails, labels, kept

    def _came(self, lane: Lane, judged: Sequence[Judged], dice: random.Random) -> dict[int, Judged]:
        """What came by, by the number of the part."""
        defective = [one for one in judged if one.cell.defective] or judged
        bad_from = PARTS - BURST_S / EVERY_S if lane is self.lanes[-1] else PARTS
        return {
            number: dice.choice(defective if number > bad_from else judged)
            for number in range(1, PARTS + 1)
        }

    def _labels(
        self,
        address: Address,
        number: int,
        one: Judged,
        at: float,
        dice: random.Random,
        *,
        twice: bool,
    ) -> Iterator[SpokenLabel]:
        """What the first inspector says, and what the second one does who looks again.

        Where the experts who made the data were not sure, the second one is not either.
        """
        key = InspectionKey(address.device, BOOT, number)
        judgement = Judgement(None, one.tail["score"] if one.tail else one.inspection.score)
        found = [one.cell.defective, dice.random() < one.cell.probability]
        for defective, inspector in zip(found[: 1 + twice], self.inspectors, strict=False):
            verdict: PlainVerdict = "reject" if defective else "pass"
            at += dice.uniform(60, 900)
            said = Said(
                *(key, address.site, address.line, verdict, None, inspector),
                seen=0,
                judgement=judgement,
            )
            # Nobody has looked at what has not come yet.
            yield SpokenLabel(min(at, self.now), said)


def _again(spoken: Sequence[SpokenLabel]) -> bool:
    """Whether somebody else is to look at it, too; the second one was not told of the first."""
    if not spoken:
        return False
    opinions = [
        LabelOpinion(number, one.said.inspector, one.said.verdict, blind=number > 0)
        for number, one in enumerate(spoken)
    ]
    return looks_needed(spoken[0].said.key, opinions, spoken[0].said.judgement) is not None
