"""Whatever a stage raises costs the part that it was about, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog

from edge.camera.base import MissedFrame
from edge.camera.scripted import ScriptedCamera
from edge.inspection.fields import FieldSources
from edge.journal.picture_ring import RingPolicy
from shared.bundles.bundle import Bundle
from shared.contracts import Decision, Finding, Frame
from shared.errors import CameraError
from tests.bundles import GOOD, UNSURE_BAD
from tests.edge.rigs import Rig, ScriptedInspector


class Trips:
    """Does what it is made of, but raises at the first call."""

    def __init__(self, well: Callable[..., Any], error: Exception) -> None:
        self._well = well
        self._error: Exception | None = error

    def __call__(self, *values: Any, **named: Any) -> Any:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._well(*values, **named)


def both_parts(rig: Rig, brightness: int = GOOD) -> dict[int, str]:
    rig.show(brightness)
    rig.show(GOOD)
    rig.commit()
    rig.pass_deadline()
    rig.commit()
    assert [row["part"] for row in rig.rows] == [1, 2]
    assert all(row["verdict"] for row in rig.rows)
    return dict(rig.recorded.verdicts)


@pytest.mark.parametrize("error", [ValueError("no"), cv2.error("no"), MemoryError()])
def test_a_head_that_raises_anything(tmp_path: Path, bundle: Bundle, error: Exception) -> None:
    decisions = iter([Decision.PASS])
    inspector = ScriptedInspector(bundle, decisions)
    inspector.look = Trips(inspector.look, error)  # type: ignore[method-assign]
    rig = Rig(tmp_path, bundle, inspector=inspector)
    assert both_parts(rig) == {1: "reject", 2: "pass"}
    assert rig.health.counts["head_failures"] == 1
    rig.close()


def test_a_link_that_raises_while_a_part_is_escalated(rig: Rig) -> None:
    rig.uplink.escalate = Trips(rig.uplink.escalate, KeyError("x"))  # type: ignore[method-assign]
    assert both_parts(rig, UNSURE_BAD) == {1: "reject", 2: "pass"}
    assert rig.rows[0]["decision"] == "escalate"
    assert rig.health.counts["parts_failed"] == 1


def test_features_of_another_shape_than_the_codec_takes(tmp_path: Path, bundle: Bundle) -> None:
    class Odd(ScriptedInspector):
        def look(self, frame: Frame) -> Finding:
            found = super().look(frame)
            wrong = np.zeros((1, 2), np.int8)
            return Finding(found.decision, found.score, wrong, found.defect_map)

    inspector = Odd(bundle, iter([Decision.ESCALATE, Decision.PASS]))
    rig = Rig(tmp_path, bundle, inspector=inspector)
    assert both_parts(rig) == {1: "reject", 2: "pass"}
    rig.close()


def test_a_picture_that_can_not_be_kept_leaves_the_verdict_alone(
    tmp_path: Path, bundle: Bundle
) -> None:
    ring = RingPolicy("all")
    ring.picture = Trips(ring.picture, cv2.error("no"))  # type: ignore[method-assign]
    rig = Rig(tmp_path, bundle)
    rig.agent._ring = ring
    assert both_parts(rig) == {1: "pass", 2: "pass"}
    assert rig.health.counts["pictures_not_kept"] == 1
    rig.close()


def test_who_watches_the_model_and_raises_leaves_the_verdict_alone(rig: Rig) -> None:
    class Watch:
        saw = Trips(lambda *_: None, ValueError("full"))

        def failed(self) -> None: ...

    rig.agent._observer = Watch()
    assert both_parts(rig) == {1: "pass", 2: "pass"}
    assert rig.health.counts["looks_unobserved"] == 1


def test_fields_that_raise_where_none_should(tmp_path: Path, bundle: Bundle) -> None:
    rig = Rig(tmp_path, bundle)
    fields = FieldSources(rig.health)
    fields.seen_on = Trips(fields.seen_on, ValueError("no"))  # type: ignore[method-assign]
    rig.agent._fields = fields
    assert both_parts(rig) == {1: "reject", 2: "pass"}
    rig.close()


def test_a_record_that_can_not_be_made_at_its_deadline_leaves_the_next_deadlines_alone(
    rig: Rig,
) -> None:
    rig.journal.fail_safe = Trips(rig.journal.fail_safe, ValueError("no"))  # type: ignore[method-assign]
    for _ in range(2):
        rig.show(UNSURE_BAD)
    rig.commit()
    rig.pass_deadline()
    assert rig.recorded.verdicts == {1: "reject", 2: "reject"}
    assert rig.health.counts["parts_failed"] == 1


def test_a_part_that_the_journal_does_not_take_is_diverted_at_once_and_counted(rig: Rig) -> None:
    rig.journal.record = lambda *_: False  # type: ignore[method-assign]
    rig.show(GOOD)
    rig.show(UNSURE_BAD)
    assert rig.recorded.verdicts == {1: "reject", 2: "reject"}
    assert not rig.escalations
    assert rig.health.counts["parts_without_record"] == 2
    assert rig.health.problems == (
        "records: the journal takes no more: parts are diverted unrecorded",
    )
    del rig.journal.record
    rig.show(GOOD)
    rig.commit()
    assert rig.recorded.verdicts[3] == "pass"
    assert not list(rig.health.problems)


def test_parts_that_are_too_many_for_records_are_counted(rig: Rig) -> None:
    now = rig.clock.monotonic()
    error = CameraError("it stood still", fix="look")
    rig.inspect(MissedFrame(5001, now - 4, now - 3.5, "cam", error, uncounted=5000))
    rig.commit()
    rig.expire()
    rig.commit()
    assert rig.health.counts["parts_without_record"] == 5000
    assert [(row["part"], row["verdict"]) for row in rig.rows] == [(5001, "reject")]
    assert rig.recorded.verdicts == {}


def test_a_camera_that_gives_up_with_an_error_of_its_own_ends_the_run_in_words(rig: Rig) -> None:
    def events() -> Any:
        yield rig.frame(GOOD)
        raise OSError("the driver is gone")

    rig.agent._camera = ScriptedCamera(events())
    with pytest.raises(CameraError, match=r"the camera gave up .OSError: the driver is gone"):
        rig.agent.run()


def test_a_lasting_fault_is_a_few_lines_not_one_a_part(rig: Rig) -> None:
    with structlog.testing.capture_logs() as logs:
        for part in range(1, 301):
            now = rig.clock.monotonic()
            error = CameraError(f"part {part} is dark", fix="light it")
            rig.inspect(MissedFrame(part, now, now + 0.5, f"{part}.png", error))
            rig.commit()
            rig.clock.advance(0.1)
    assert [line["event"] for line in logs].count("picture_missed") == 2
