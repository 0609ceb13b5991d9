"""What the line says of a part, from settings and camera to the cloud."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.camera.base import MissedFrame
from edge.camera.freeze_detection import FrozenGuard
from edge.camera.scripted import ScriptedCamera
from edge.inspection.line_fields import LineFields
from shared.bundles.bundle import Bundle
from shared.contracts import Frame
from shared.errors import CameraError
from shared.inspection import LINE_COLUMNS
from shared.wire import Inspections, decode
from tests.bundles import GOOD, UNSURE_BAD
from tests.edge.rigs import ADDRESS, Rig
from tests.edge.test_box import settings_for

NAMES = [column.name for column in LINE_COLUMNS]


@pytest.fixture
def rig(tmp_path: Path, bundle: Bundle) -> Iterator[Rig]:
    rig = Rig(tmp_path, bundle, line=LineFields(dict.fromkeys(NAMES, "L1")))
    yield rig
    rig.close()


@pytest.mark.parametrize("name", NAMES)
def test_what_the_settings_say_holds_until_the_camera_says_something_else(
    rig: Rig, name: str
) -> None:
    rig.show(GOOD)
    rig.inspect(replace(rig.frame(GOOD), fields={name: "L2"}))
    rig.inspect(replace(rig.frame(GOOD), fields={"colour": "blue"}))
    rig.commit()
    assert [row[name] for row in rig.rows] == ["L1", "L2", "L1"]
    rig.outbox.tick()
    (sent,) = [d for d in rig.broker.published if d.topic == ADDRESS.topic("inspections")]
    rows = decode(sent.payload, Inspections)[0].rows
    assert [getattr(row, name) for row in rows] == ["L1", "L2", "L1"]


def test_a_part_has_its_lot_whoever_decides_and_whether_it_was_seen(rig: Rig) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.pass_deadline()
    now, error = rig.clock.monotonic(), CameraError("cut off", fix="replace it")
    rig.inspect(MissedFrame(7, now, now + 0.5, "x.png", error, {"lot": "L7"}))
    rig.commit()
    assert [(row["decided_by"], row["lot"]) for row in rig.rows] == [
        ("deadline", "L1"),
        ("deadline", "L7"),
    ]


def test_a_lot_that_can_not_be_kept_as_it_is_costs_nothing_but_itself(rig: Rig) -> None:
    for lot in ("x" * 1000, "a\0b\udce4", 4711):
        rig.inspect(replace(rig.frame(GOOD), fields={"lot": lot}))
    rig.commit()
    assert [row["lot"] for row in rig.rows] == ["x" * 64, "ab?", "4711"]
    rig.outbox.tick()
    assert not rig.outbox.is_empty


def test_a_picture_whose_name_is_no_text_is_inspected_and_reported(rig: Rig) -> None:
    rig.inspect(replace(rig.frame(GOOD), source="caf\udce9.png"))
    rig.commit()
    assert rig.rows[0]["source"] == "caf?.png"
    rig.outbox.tick()
    assert any(d.topic == ADDRESS.topic("inspections") for d in rig.broker.published)


def test_a_part_that_a_frozen_camera_did_not_see_keeps_its_lot(rig: Rig) -> None:
    frames = [replace(rig.frame(GOOD), fields={"lot": f"L{n}"}) for n in range(4)]
    seen = list(FrozenGuard(ScriptedCamera(frames), 1).frames(1, 0.5))
    assert [type(event) for event in seen] == [Frame, *[MissedFrame] * 3]
    assert [event.fields["lot"] for event in seen] == ["L0", "L1", "L2", "L3"]


def test_settings_say_what_holds_for_every_part_and_are_bounded(
    tmp_path: Path, bundle: Bundle
) -> None:
    settings = settings_for(tmp_path, bundle, product={"lot": "L9"})
    nothing = {column.name: "" for column in LINE_COLUMNS}
    assert settings.product.model_dump() == {**nothing, "lot": "L9"}
    assert settings_for(tmp_path, bundle).product.model_dump() == nothing
    for wrong in ({"lot": "x" * 65}, {"colour": "blue"}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            settings_for(tmp_path, bundle, product=wrong)
