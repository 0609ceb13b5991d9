"""A shift before the demo: real findings, times of the past, and a bad batch at its end."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud.labels.queue import ReviewQueue
from cloud.records.database import Database
from cloud.records.tables import INSPECTIONS
from edge.journal.picture_ring import digest_of
from edge.journal.reader import last_part
from edge.journal.schema import connect_to_read
from edge.pictures.reader import JournalPictures
from hardware_sim.demo.cells import Lane, lanes
from hardware_sim.demo.history import BOOT, BURST_S, EVERY_S, HOURS, PARTS, ShiftHistory
from hardware_sim.demo.journals import write_journal
from hardware_sim.processes.session import SHIPPED_BUNDLE
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock
from shared.contracts import InspectionKey
from shared.inspection import NO_PICTURE
from tests.support.databases import place_migrated

pytestmark = pytest.mark.process

NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def two_lanes() -> list[Lane]:
    found = lanes(SHIPPED_BUNDLE, 2)
    defective = [cell for cell in found[1].cells if cell.defective][:3]
    good = [cell for cell in found[1].cells if not cell.defective][:3]
    return [
        replace(found[0], cells=found[0].cells[:6]),
        replace(found[1], cells=(*good, *defective)),
    ]


def test_a_shift_of_each_line_lies_in_the_past_and_ends_with_a_bad_batch(
    tmp_path: Path, two_lanes: list[Lane]
) -> None:
    database = Database(f"sqlite:///{place_migrated(Database, tmp_path / 'records.db')}")
    bundle = Bundle.open(SHIPPED_BUNDLE)
    written = ShiftHistory(bundle, two_lanes, "demo", NOW, ("ida", "ivo")).write(database).parts
    with database.begin() as connection:
        rows = connection.execute(select(INSPECTIONS)).all()
    database.close()
    assert len(rows) == written == 2 * int(HOURS * 3600 / EVERY_S)
    assert Counter(row.line for row in rows) == {"line-1": written // 2, "line-2": written // 2}
    assert all(NOW - HOURS * 3600 - EVERY_S <= row.received_at <= NOW for row in rows)
    bad = {cell.image.name for cell in two_lanes[1].cells if cell.defective}
    last = [row for row in rows if row.line == "line-2" and row.received_at > NOW - BURST_S]
    assert last
    assert {row.source for row in last} <= bad
    assert {row.decided_by for row in rows} >= {"edge"}


def test_what_a_person_may_be_asked_to_look_at_has_its_picture_in_the_box(
    tmp_path: Path, two_lanes: list[Lane]
) -> None:
    database = Database(f"sqlite:///{place_migrated(Database, tmp_path / 'records.db')}")
    bundle = Bundle.open(SHIPPED_BUNDLE)
    kept = ShiftHistory(bundle, two_lanes, "demo", NOW, ("ida", "ivo")).write(database).kept
    journals = {device: tmp_path / f"{device}.db" for device in kept}
    for device, path in journals.items():
        write_journal(path, kept[device])
    # Everything that Review could give to somebody who has not labelled any of it.
    found = ReviewQueue(database, ManualClock(utc=NOW)).take("a newcomer", 2 * PARTS)
    with database.begin() as connection:
        rows = connection.execute(select(INSPECTIONS)).all()
    database.close()
    assert 50 < len(found) < 2 * PARTS
    known = {InspectionKey(row.device, row.boot, row.sequence): row for row in rows}
    for item in found:
        picture = JournalPictures(journals[item.key.device]).picture(BOOT, item.key.sequence)
        assert picture is not None, item
        assert digest_of(picture) == known[item.key].digest
    # Of all others nobody asks a box.
    others = {row.digest for key, row in known.items() if key not in {one.key for one in found}}
    assert others == {NO_PICTURE}
    for path in journals.values():
        assert last_part(path) == PARTS
        with closing(connect_to_read(path, 1.0, "this test")) as journal:
            assert journal.execute("SELECT min(acknowledged) FROM inspections").fetchone() == (1,)
