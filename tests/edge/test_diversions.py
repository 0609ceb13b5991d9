"""What the deadline decided lives through the end of the process, and no number comes twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.agent import MAX_OPEN
from edge.box import CameraBox
from edge.camera.scripted import ScriptedCamera
from edge.journal.diversions import MOST_BYTES, Diversions
from edge.monitoring.health import BoxHealth
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.transport.memory import MemoryBroker
from tests.bundles import UNSURE_BAD
from tests.edge.rigs import Rig, open_journal, rows_in
from tests.edge.test_box import settings_for

KILLED = """
import os, signal, sys
from pathlib import Path
from shared.bundles.bundle import Bundle
from tests.bundles import UNSURE_BAD, GOOD
from tests.edge.rigs import Rig

rig = Rig(Path(sys.argv[1]), Bundle.open(Path(sys.argv[2])))
rig.journal.commits.start = lambda: None
rig.journal.salvage.start = lambda: None
rig.journal.start()
rig.show(UNSURE_BAD)
rig.commit()
# The answer is on disk, but not what the deadline made of the part meanwhile.
rig.answer(1, "pass")
rig.pass_deadline()
assert rig.journal.commits.step()
# Of this one nothing is on disk.
rig.show(GOOD)
rig.show(UNSURE_BAD)
rig.pass_deadline()
print(sorted(rig.recorded.verdicts), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_what_was_diverted_before_it_was_on_disk_has_its_row_after_a_kill(
    tmp_path: Path, bundle: Bundle
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(bundle.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert killed.stdout.splitlines()[-1:] == ["[1, 2, 3]"], killed.stderr
    journal = open_journal(tmp_path)
    assert journal.last_part == 3
    assert journal.unclean
    kept = {one.part: one for _, one in journal.unsent(9)}
    assert {part: (one.verdict, one.decided_by) for part, one in kept.items()} == dict.fromkeys(
        (1, 2, 3), ("reject", "deadline")
    )
    assert all(one.total_ms is not None for one in kept.values())
    journal.close()
    again = open_journal(tmp_path)
    assert not again.unclean
    assert len(rows_in(tmp_path)) == 3
    again.close()


def test_once_it_is_on_disk_nothing_is_left_beside_it(rig: Rig) -> None:
    beside = rig.folder / "journal.db.diverted"
    rig.journal._diversions.begin()
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.pass_deadline()
    assert beside.stat().st_size > 0
    rig.commit()
    assert beside.stat().st_size == 0
    rig.journal.close()
    assert not beside.exists()


def test_a_part_that_the_journal_does_not_take_is_known_after_the_next_start(
    tmp_path: Path, bundle: Bundle
) -> None:
    rig = Rig(tmp_path, bundle)
    rig.journal.record = lambda *_: False  # type: ignore[method-assign]
    rig.show(UNSURE_BAD)
    rig.journal.close()
    journal = open_journal(tmp_path)
    ((_, kept),) = journal.unsent(9)
    assert (kept.part, kept.verdict, kept.decided_by) == (1, "reject", "deadline")
    journal.close()


def test_half_a_line_costs_itself_alone(tmp_path: Path, bundle: Bundle) -> None:
    rig = Rig(tmp_path, bundle)
    rig.journal.record = lambda *_: False  # type: ignore[method-assign]
    for _ in range(3):
        rig.show(UNSURE_BAD)
    rig.journal.close()
    beside = tmp_path / "journal.db.diverted"
    beside.write_bytes(beside.read_bytes()[:-20] + b"\n\xff\xfe\n")
    journal = open_journal(tmp_path)
    assert [kept.part for _, kept in journal.unsent(9)] == [1, 2]
    journal.close()


def test_a_disk_that_can_not_be_written_holds_up_no_verdict_and_is_a_problem(
    tmp_path: Path, bundle: Bundle
) -> None:
    rig = Rig(tmp_path, bundle)
    (tmp_path / "journal.db.diverted").mkdir()
    rig.show(UNSURE_BAD)
    rig.pass_deadline()
    assert rig.recorded.verdicts == {1: "reject"}
    assert any(problem.startswith("diversions: ") for problem in rig.health.problems)
    (tmp_path / "journal.db.diverted").rmdir()
    rig.commit()
    rig.close()


def test_what_can_not_be_journaled_for_long_does_not_fill_the_disk(
    tmp_path: Path, rig: Rig
) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    health = BoxHealth()
    diversions = Diversions(tmp_path / "other.db", health)
    diversions._bytes = MOST_BYTES
    rig.pass_deadline()
    rig.commit()
    ((_, decided),) = rig.journal.unsent(9)
    diversions.note(decided)
    assert health.counts == {"diversions_not_noted": 1}
    assert not (tmp_path / "other.db.diverted").exists()


def test_a_box_that_was_only_switched_on_begins_with_its_first_part_again(tmp_path: Path) -> None:
    for _ in range(2):
        journal = open_journal(tmp_path)
        assert journal.last_part == 0
        journal.close()


def test_after_a_kill_a_line_goes_on_above_every_number_that_was_given_out(
    tmp_path: Path, bundle: Bundle
) -> None:
    live = {"kind": "rtsp", "url": "rtsp://127.0.0.1:1/x"}
    replayed = {"kind": "folder", "path": tmp_path}
    for camera_settings, first in ((live, MAX_OPEN + 2), (replayed, 1)):
        folder = tmp_path / str(camera_settings["kind"])
        folder.mkdir()
        (folder / "journal.db.diverted").touch()
        camera = ScriptedCamera([])
        settings = settings_for(folder, bundle, camera=camera_settings)
        CameraBox(
            settings, SystemClock(), transport=MemoryBroker().transport(), camera=camera
        ).run()
        assert camera.first_part == first


def test_numbers_that_were_skipped_are_skipped_for_good(tmp_path: Path) -> None:
    """An agent that is killed before its first part is on disk must not lead the next one back."""
    journal = open_journal(tmp_path)
    journal.skip(257)
    assert journal.last_part == 257
    journal.close()
    again = open_journal(tmp_path)
    assert again.last_part == 257
    again.close()
