"""What the line says of a part, from settings and camera to the cloud."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.camera.base import MissedFrame
from edge.camera.freeze_detection import FrozenGuard
from edge.camera.scripted import ScriptedCamera
from edge.inspection.fields import FieldSources
from edge.journal.store import BOUND_EVERY, ROW_BYTES
from edge.monitoring.health import BoxHealth
from shared.bundles.bundle import Bundle
from shared.contracts import Frame
from shared.errors import CameraError
from shared.inspection import LINE_COLUMNS, LONGEST_FIELD, MAX_FIELDS, storable_fields
from shared.wire import Inspections, decode
from tests.bundles import GOOD, UNSURE_BAD, picture
from tests.edge.rigs import ADDRESS, Rig, commit, open_journal, rows_in
from tests.edge.test_box import settings_for
from tests.edge.test_journal import decided

ROOT = Path(__file__).parents[2]
NAMES = [column.name for column in LINE_COLUMNS]


@pytest.fixture
def rig(tmp_path: Path, bundle: Bundle) -> Iterator[Rig]:
    rig = Rig(tmp_path, bundle, fields=FieldSources(BoxHealth(), dict.fromkeys(NAMES, "L1")))
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
    assert [row["fields"] for row in rig.rows] == ["{}", "{}", '{"colour":"blue"}']
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


class Sharpness:
    """A package's field: what it answers is the test's to say."""

    def __init__(self) -> None:
        self.answer: Any = 0.5
        self.frames: list[int] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, frame: Frame) -> str | float | None:
        self.frames.append(frame.part)
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: str | float | None = self.answer
        return answer


@pytest.fixture
def sharpness() -> Sharpness:
    return Sharpness()


@pytest.fixture
def plugged(tmp_path: Path, bundle: Bundle, sharpness: Sharpness) -> Iterator[Rig]:
    health = BoxHealth()
    fields = FieldSources(health, plugged={"sharpness": sharpness, "hall": lambda _frame: "north"})
    rig = Rig(tmp_path, bundle, fields=fields, health=health)
    yield rig
    rig.close()


def kept_fields(rig: Rig) -> list[dict[str, Any]]:
    return [json.loads(str(row["fields"])) for row in rig.rows]


def test_a_packages_field_is_kept_of_every_part_that_was_seen(
    plugged: Rig, sharpness: Sharpness
) -> None:
    sharpness.answer = np.float32(0.5)
    plugged.show(GOOD)
    plugged.inspect(replace(plugged.frame(UNSURE_BAD), fields={"weight_g": 12}))
    now, error = plugged.clock.monotonic(), CameraError("cut off", fix="replace it")
    plugged.inspect(MissedFrame(7, now, now + 0.5, "x.png", error, {"weight_g": 3.5}))
    plugged.commit()
    assert sharpness.frames == [1, 2]
    assert kept_fields(plugged) == [
        {"sharpness": 0.5, "hall": "north"},
        {"weight_g": 12.0, "sharpness": 0.5, "hall": "north"},
        {"weight_g": 3.5},
    ]
    assert [one.fields for _, one in plugged.journal.unsent(1)] == kept_fields(plugged)[:1]


def test_a_deadline_that_passes_while_a_field_is_made_costs_no_field(
    plugged: Rig, sharpness: Sharpness
) -> None:
    sharpness.meanwhile = plugged.pass_deadline
    plugged.show(GOOD)
    plugged.commit()
    assert plugged.recorded.verdicts == {1: "reject"}
    assert plugged.rows[0]["decided_by"] == "deadline"
    assert kept_fields(plugged) == [{"sharpness": 0.5, "hall": "north"}]


@pytest.mark.parametrize(
    "answer",
    [ZeroDivisionError("a lens"), "x" * 65, math.nan, math.inf, 10**400, [1], {"a": 1}, b"bytes"],
)
def test_a_field_that_fails_costs_itself_and_is_said_until_it_goes_well(
    plugged: Rig, sharpness: Sharpness, answer: object
) -> None:
    sharpness.answer = answer
    plugged.show(GOOD)
    plugged.commit()
    assert plugged.recorded.verdicts == {1: "pass"}
    assert kept_fields(plugged) == [{"hall": "north"}]
    (problem,) = plugged.health.problems
    assert problem.startswith("field sharpness: ")
    assert plugged.health.counts["fields_failed"] == 1
    sharpness.answer = None
    plugged.show(GOOD)
    plugged.commit()
    assert plugged.health.problems == ()
    assert kept_fields(plugged) == [{"hall": "north"}] * 2


@given(
    st.dictionaries(
        st.one_of(st.text(max_size=40), st.integers()),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner, max_size=2),
        ),
    )
)
def test_whatever_fields_are_given_what_is_kept_is_small_and_goes_everywhere(
    fields: dict[Any, Any],
) -> None:
    kept = storable_fields(fields)
    assert len(kept) <= MAX_FIELDS
    assert storable_fields(kept) == kept
    assert json.loads(json.dumps(kept)) == kept
    assert "\0" not in "".join(map(str, kept.values()))
    assert len(msgspec.msgpack.encode(kept)) < MAX_FIELDS * (4 * LONGEST_FIELD + 40)


def test_more_fields_than_are_kept_cost_the_last_ones() -> None:
    many = {f"f{number}": number for number in range(20)}
    assert list(storable_fields(many)) == [f"f{number}" for number in range(MAX_FIELDS)]


def test_rows_with_fields_keep_within_the_journals_bytes(tmp_path: Path) -> None:
    bound = 1000 * ROW_BYTES
    journal = open_journal(tmp_path, max_bytes=bound)
    fields = {f"field_{number}": "x" * LONGEST_FIELD for number in range(MAX_FIELDS)}
    for sequence in range(1, 3 * BOUND_EVERY + 1):
        one = msgspec.structs.replace(decided(journal, sequence), fields=fields)
        journal.record(one, None, None)
        journal.settle(sequence, 5.0, 0)
        commit(journal)
    rows = rows_in(tmp_path)
    row_bytes = ROW_BYTES + len(str(rows[-1]["fields"]))
    assert 0 < len(rows) * row_bytes <= bound + BOUND_EVERY * row_bytes
    journal.close()


PACKAGE = """
def brightness(frame):
    return float(frame.pixels.mean())
"""
ENTRY_POINTS = """
[splitsight.inspection_fields]
brightness = line_extras:brightness
weight = line_extras:weight
"""


def test_a_field_whose_call_hangs_is_missing_and_the_part_is_judged(
    tmp_path: Path, bundle: Bundle
) -> None:
    let_go, health = threading.Event(), BoxHealth()

    def hangs(_frame: Frame) -> float:
        let_go.wait(60)
        return 1.0

    plugged: dict[str, Any] = {"hangs": hangs, "well": lambda _frame: 2.0}
    rig = Rig(tmp_path, bundle, fields=FieldSources(health, {}, plugged), health=health)
    for _ in range(6):
        rig.show(GOOD)
    rig.commit()
    assert set(rig.recorded.verdicts.values()) == {"pass"}
    assert [row["fields"] for row in rig.rows] == ['{"well":2.0}'] * 6
    assert health.counts["fields_failed"] == 6
    (problem,) = health.problems
    assert problem.startswith("field hangs: its call hangs: ")
    let_go.set()
    rig.close()


@pytest.mark.process
def test_a_package_outside_the_tree_adds_a_field_by_its_entry_point_alone(
    tmp_path: Path, bundle: Bundle
) -> None:
    packages, pictures = tmp_path / "packages", tmp_path / "pictures"
    (packages / "line_extras-1.dist-info").mkdir(parents=True)
    (packages / "line_extras.py").write_text(PACKAGE)
    (packages / "line_extras-1.dist-info" / "METADATA").write_text(
        "Name: line-extras\nVersion: 1\n"
    )
    (packages / "line_extras-1.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.png"), picture(GOOD))
    settings = settings_for(tmp_path, bundle).model_dump(mode="json", exclude_none=True)
    (tmp_path / "box.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "shared.commands", "edge", "run", "--config", "box.yaml"]
    path = os.pathsep.join([str(packages), str(ROOT), str(ROOT / "hardware-sim")])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = rows_in(tmp_path)
    assert json.loads(str(row["fields"])) == {"brightness": pytest.approx(GOOD, abs=1)}
    assert "field weight" in done.stderr
    assert "has no attribute 'weight'" in done.stderr
