from __future__ import annotations

import numpy as np
import pytest

from hardware_sim.camera.faults import Disconnect, Duplicates, Freeze
from hardware_sim.line.ejector import EjectorSettings
from shared.errors import SettingsError
from tests.hardware_sim.line.rigs import GEOMETRY, LineRig, PlainParts


def test_each_part_is_photographed_and_leaves_at_its_own_instant() -> None:
    rig = LineRig(parts=4)
    began = rig.clock.monotonic()
    rig.run()
    for number, (sight, shots, at) in enumerate(rig.delivered, start=1):
        assert sight.part == number
        assert sight.triggered - began == pytest.approx(number * 0.5 + 0.1)
        assert at - began == pytest.approx(number * 0.5 + 0.2, abs=1e-4)
        assert sight.deadline - sight.triggered == pytest.approx(GEOMETRY.deadline_s)
        assert shots[0].pixels[0, 0] == number
    assert [settled.outcome.passage.part for settled in rig.left] == [1, 2, 3, 4]
    assert rig.line.over
    assert (rig.line.photographed, rig.line.ejected) == (4, 4)


def test_verdicts_told_in_time_fill_the_truth_table() -> None:
    rig = LineRig(parts=6)
    while rig.step() is not None:
        if rig.delivered and rig.delivered[-1][0].part not in rig.cells:
            number = rig.delivered[-1][0].part
            if number != 4:
                rig.tell(number, "reject" if number in {3, 5} else "pass")
    assert rig.cells == {
        1: "right_pass", 2: "right_pass", 3: "right_reject",
        4: "no_verdict", 5: "overkill", 6: "escape",
    }  # fmt: skip
    assert rig.line.ejector.table.parts == 6


def test_a_line_ends_with_its_sources_last_part() -> None:
    rig = LineRig(parts=9, source=PlainParts(count=3))
    rig.run()
    assert len(rig.left) == 3


def test_a_line_may_begin_with_any_number() -> None:
    rig = LineRig(parts=2, first_part=41)
    rig.run()
    assert [sight.part for sight, _, _ in rig.delivered] == [41, 42]
    assert rig.delivered[0][0].triggered == pytest.approx(1000.6)


def test_a_line_without_an_end_goes_on() -> None:
    rig = LineRig()
    with pytest.raises(AssertionError, match="not over"):
        rig.run(50)
    assert len(rig.delivered) > 20
    assert not rig.line.over


def test_a_burst_spoils_the_next_parts_to_be_drawn_and_then_ends() -> None:
    rig = LineRig(parts=8, source=PlainParts(wrong=1000))
    rig.step()
    rig.line.burst(3, 1.0)
    rig.run()
    # Part 1 lay drawn already.
    assert rig.source.rates == [None, 1.0, 1.0, 1.0, None, None, None, None]
    assert [settled.defect for settled in rig.left[1:4]] == ["pit"] * 3
    assert rig.line.burst_left == 0


def test_a_faster_belt_brings_parts_sooner_and_leaves_less_time() -> None:
    rig = LineRig(parts=6)
    while len(rig.delivered) < 2:
        rig.step()
    rig.line.change_speed(2.0)
    assert rig.line.changed.is_set()
    rig.run()
    before, after = rig.delivered[1][0], rig.delivered[5][0]
    assert after.deadline - after.triggered == pytest.approx(1.1 / 2 - 0.02)
    assert before.deadline - before.triggered == pytest.approx(GEOMETRY.deadline_s)
    # The second part was on the belt: it passed earlier than it had been promised.
    assert rig.left[1].outcome.passage.deadline < before.deadline
    with pytest.raises(SettingsError, match="speed can't be 0"):
        rig.line.change_speed(0.0)


def test_a_frozen_camera_makes_verdicts_about_the_wrong_part() -> None:
    rig = LineRig(parts=3, ejector=EjectorSettings(without_verdict="pass"))
    while rig.step() is not None:
        if len(rig.delivered) == 1:
            rig.faults.set(Freeze(), rig.clock.monotonic())
        for sight, _, _ in rig.delivered[-1:]:
            if sight.part not in rig.cells:
                rig.tell(sight.part, "pass")
    assert rig.cells == {1: "right_pass", 2: "wrong_part", 3: "wrong_part"}
    assert np.array_equal(rig.delivered[2][1][0].pixels, rig.delivered[0][1][0].pixels)


def test_parts_pass_a_camera_that_is_gone_all_the_same() -> None:
    rig = LineRig(parts=3)
    rig.faults.set(Disconnect(), 0.0)
    rig.run()
    assert [shots for _, shots, _ in rig.delivered] == [[], [], []]
    assert set(rig.cells.values()) == {"no_verdict"}


def test_a_doubled_frame_is_one_part() -> None:
    rig = LineRig(parts=3)
    rig.faults.set(Duplicates(share=1.0), 0.0)
    rig.run()
    assert [len(shots) for _, shots, _ in rig.delivered] == [2, 2, 2]
    assert rig.line.ejector.table.parts == 3
