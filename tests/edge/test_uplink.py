"""Escalations and what their answers tell of the cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.link.circuit import ENOUGH, PAUSE_S
from edge.link.uplink import SILENCE_S, SILENT
from shared.bundles.bundle import Bundle
from tests.bundles import UNSURE_BAD
from tests.edge.rigs import DEADLINE_S, Rig


@pytest.fixture
def rig(tmp_path: Path, bundle: Bundle) -> Iterator[Rig]:
    made = Rig(tmp_path, bundle)
    yield made
    made.close()


def unanswered(rig: Rig) -> None:
    """An uncertain part whose deadline decides."""
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.pass_deadline()
    rig.commit()


def about_the_cloud(rig: Rig) -> list[str]:
    return [text for text in rig.health.problems if text.startswith("cloud: ")]


def test_where_answers_come_too_late_parts_are_diverted_at_once(rig: Rig) -> None:
    for _ in range(ENOUGH):
        unanswered(rig)
    assert len(rig.escalations) == ENOUGH
    rig.show(UNSURE_BAD)
    rig.commit()
    # Before its deadline, and unasked.
    assert rig.recorded.verdicts[ENOUGH + 1] == "reject"
    assert len(rig.escalations) == ENOUGH
    assert rig.rows[-1]["decided_by"] == "deadline"
    assert about_the_cloud(rig) == [
        "cloud: its answers come too late: most uncertain parts are diverted without asking"
    ]
    assert rig.health.counts["parts_given_up"] == 1


def test_a_few_answers_in_time_bring_the_cloud_back(rig: Rig) -> None:
    for _ in range(ENOUGH):
        unanswered(rig)
    rig.show(UNSURE_BAD)
    rig.clock.advance(PAUSE_S[1])
    for _ in range(2):
        rig.show(UNSURE_BAD)
        rig.commit()
        rig.answer(rig.escalations[-1].sequence, "pass")
        rig.commit()
    assert not about_the_cloud(rig)
    rig.show(UNSURE_BAD)
    assert rig.escalations[-1].sequence == ENOUGH + 4
    assert rig.recorded.verdicts[ENOUGH + 3] == "pass"


def test_a_cloud_that_answers_nothing_is_told_apart_from_a_slow_one(rig: Rig) -> None:
    begun = rig.clock.monotonic()
    while rig.clock.monotonic() - begun < SILENCE_S + 2 * PAUSE_S[1]:
        unanswered(rig)
    assert len(rig.escalations) > SILENT
    (told,) = about_the_cloud(rig)
    assert "no answer has come for 30 s: check that the cloud runs, and the broker's ACL" in told
    rig.clock.advance(PAUSE_S[1])
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.answer(rig.escalations[-1].sequence, "pass")
    (told,) = about_the_cloud(rig)
    assert "too late" in told


def test_a_burst_after_a_quiet_hour_is_no_silence(rig: Rig) -> None:
    unanswered(rig)
    rig.answer(1, "pass")
    rig.clock.advance(3600.0)
    for _ in range(SILENT):
        rig.show(UNSURE_BAD)
    assert not about_the_cloud(rig)


def test_a_link_that_is_back_is_asked_at_once(rig: Rig) -> None:
    for _ in range(ENOUGH):
        unanswered(rig)
    rig.transport.lose()
    rig.transport.restore()
    rig.show(UNSURE_BAD)
    assert len(rig.escalations) == ENOUGH + 1
    rig.clock.advance(DEADLINE_S)


def test_a_broker_that_takes_nothing_so_large_leaves_it_to_the_deadline(rig: Rig) -> None:
    rig.broker.max_payload = 10
    unanswered(rig)
    assert rig.escalations == []
    assert rig.health.counts["escalations_unsent"] == 1
    assert rig.recorded.verdicts == {1: "reject"}
