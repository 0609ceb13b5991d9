"""Parts that are drawn at random for a person to look at."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge.camera.base import MissedFrame
from edge.inspection.control import ControlSample
from shared.bundles.bundle import Bundle
from shared.certification.certificate import interval
from shared.contracts import VERDICTS, Control, Decision, Verdict
from shared.errors import CameraError
from shared.inspection import Inspection
from shared.wire import Inspections, decode, encode
from tests.bundles import GOOD
from tests.edge.rigs import ADDRESS, Rig, ScriptedInspector, open_journal, rows_in

PARTS = 20_000
SURE = (Decision.PASS, Decision.REJECT, Decision.REVIEW)


def drawn(sample: ControlSample, parts: int = PARTS) -> list[bool]:
    return [sample.draws() for _ in range(parts)]


def test_each_part_is_drawn_with_the_same_probability_and_by_itself() -> None:
    found = drawn(ControlSample(0.05, seed=1))
    low, high = interval(sum(found), PARTS, 0.001)
    assert low < 0.05 < high
    after = [now for before, now in pairwise(found) if before]
    low, high = interval(sum(after), len(after), 0.001)
    assert low < 0.05 < high, "what was drawn says nothing of the next part"


def test_none_are_drawn_unless_somebody_asks_and_all_where_all_are_asked_for() -> None:
    assert not any(drawn(ControlSample(0)))
    assert all(drawn(ControlSample(1)))


def test_nobody_can_foretell_which_are_drawn() -> None:
    first, second = (drawn(ControlSample(0.5), 400) for _ in range(2))
    assert first != second


@pytest.fixture
def decisions() -> list[Decision]:
    """What the head says of the drawn part, to be changed by the test."""
    return [Decision.PASS]


@pytest.fixture
def rig(tmp_path: Path, bundle: Bundle, decisions: list[Decision]) -> Iterator[Rig]:
    """Its first part is not drawn, and every later one is."""
    script = (decision for decision in [Decision.PASS, *decisions * 9])
    opened = Rig(
        tmp_path,
        bundle,
        inspector=ScriptedInspector(bundle, script),
        control=ControlSample(0.95, seed=103),
    )
    opened.show(GOOD)
    opened.commit()
    opened.clock.advance(1.0)
    yield opened
    opened.close()


def kept(rig: Rig, part: int = 2) -> Inspection:
    (found,) = (one for _, one in rig.journal.unsent(9) if one.part == part)
    return found


@pytest.mark.parametrize("decisions", [[one] for one in SURE])
def test_a_drawn_part_is_diverted_for_a_person_and_keeps_what_the_edge_would_have_done(
    rig: Rig, decisions: list[Decision]
) -> None:
    rig.show(GOOD)
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass", 2: "review"}
    found = kept(rig)
    assert (found.decision, found.verdict, found.decided_by) == (decisions[0], "review", "edge")
    assert found.control == decisions[0].value
    assert kept(rig, 1).control == ""
    assert [row["id"] for row in rows_in(rig.folder, "frames")] == [2]


@pytest.mark.parametrize("decisions", [[Decision.ESCALATE]])
@pytest.mark.parametrize("answer", VERDICTS)
def test_a_drawn_part_keeps_what_the_cloud_would_have_had_done(rig: Rig, answer: Verdict) -> None:
    rig.show(GOOD)
    rig.answer(2, answer)
    rig.commit()
    assert rig.recorded.verdicts[2] == "review"
    found = kept(rig)
    assert (found.verdict, found.decided_by, found.control) == ("review", "cloud", answer)


@pytest.mark.parametrize("decisions", [[Decision.ESCALATE]])
@pytest.mark.parametrize("answered_first", [False, True])
def test_a_drawn_part_that_its_deadline_diverts_would_not_have_passed(
    rig: Rig, *, answered_first: bool
) -> None:
    rig.show(GOOD)
    rig.commit()
    if answered_first:
        # The answer is there, but the disk gets it too late.
        rig.answer(2, "pass", score=0.25)
        rig.pass_deadline()
    else:
        rig.pass_deadline()
        rig.answer(2, "pass", score=0.25)
    rig.commit()
    found = kept(rig)
    assert (found.verdict, found.decided_by, found.control) == ("reject", "deadline", "review")
    assert (rig.rows[1]["late_verdict"], rig.rows[1]["late_score"]) == ("pass", 0.25)


@pytest.mark.parametrize("decisions", [[Decision.PASS]])
def test_a_deadline_that_comes_before_the_disk_takes_back_what_the_edge_would_have_done(
    rig: Rig,
) -> None:
    rig.show(GOOD)
    rig.pass_deadline()
    rig.commit()
    found = kept(rig)
    assert (found.verdict, found.decided_by, found.control) == ("reject", "deadline", "review")


def test_a_drawn_part_that_was_not_seen_counts_as_one_to_review(rig: Rig) -> None:
    now = rig.clock.monotonic()
    rig.inspect(MissedFrame(2, now, now + 0.5, "2.png", CameraError("no picture", fix="wait")))
    rig.commit()
    found = kept(rig)
    assert (found.verdict, found.decided_by, found.control) == ("reject", "deadline", "review")


@pytest.mark.parametrize("decisions", [[Decision.ESCALATE]])
def test_a_power_cut_leaves_a_drawn_part_drawn(rig: Rig) -> None:
    rig.show(GOOD)
    rig.commit()
    rig.journal.close()
    again = open_journal(rig.folder)
    (found,) = (one for _, one in again.unsent(9) if one.part == 2)
    assert (found.verdict, found.decided_by, found.control) == ("reject", "deadline", "review")
    again.close()
    rig.journal = open_journal(rig.folder)


@pytest.mark.parametrize("decisions", [[one] for one in SURE])
def test_a_drawn_part_travels_as_a_review_that_older_clouds_take_for_a_reject(rig: Rig) -> None:
    rig.show(GOOD)
    rig.commit()
    found = kept(rig)
    sent, _ = decode(encode(Inspections.of(rig.journal.boot, 1, [found])), Inspections)
    assert sent.inspections == [found]
    (row,) = sent.rows
    assert row.verdict == "reject"
    assert row.decision in {"pass", "reject", "escalate"}


def test_the_outbox_says_what_was_drawn(rig: Rig) -> None:
    said: list[Control] = []
    rig.cloud.subscribe(
        ADDRESS.topic("inspections"),
        lambda delivery: said.extend(
            one.control for one in decode(delivery.payload, Inspections)[0].inspections
        ),
    )
    rig.show(GOOD)
    rig.commit()
    rig.outbox.tick()
    assert said == ["", "pass"]
