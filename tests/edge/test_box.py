from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.actuator.base import RecordingActuator
from edge.box import CameraBox
from edge.camera.scripted import ScriptedCamera
from edge.configuration.settings import EdgeSettings, settings_model
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import HEAD, TAIL
from shared.clock import SystemClock
from shared.errors import CameraError, ParityError, SettingsError
from shared.inspection import Inspection
from shared.runtime.base import open_runtime
from shared.topics import everyone, parse
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import (
    CloudVerdict,
    Escalation,
    Inspections,
    Receipt,
    StateMessage,
    decode,
    encode,
)
from tests.bundles import BAD, GOOD, UNSURE_BAD, UNSURE_GOOD, picture
from tests.edge.rigs import rows_in

LINE = [GOOD, UNSURE_GOOD, BAD, UNSURE_BAD]


class FakeCloud:
    """Runs the tail on what comes, stores inspections once, and sends receipts."""

    def __init__(self, broker: MemoryBroker, bundle: Bundle) -> None:
        self._bundle = bundle
        self._tail = open_runtime("onnx", bundle.read(TAIL))
        self._transport = broker.transport()
        self.stored: dict[tuple[str, int], Inspection] = {}
        self._transport.subscribe(everyone("escalation"), self._judge)
        self._transport.subscribe(everyone("inspections"), self._store)
        self._transport.start()

    def _judge(self, delivery: Delivery) -> None:
        asked, body = decode(delivery.payload, Escalation)
        symbols = self._bundle.codec.decode(body, asked.coarseness)[np.newaxis]
        score = float(np.ravel(self._tail.run(symbols)[1])[0])
        verdict = self._bundle.manifest.gate.gate.conclude(score)
        assert verdict != "review"
        answer = CloudVerdict(asked.boot, asked.sequence, asked.part, verdict, score)
        address, _ = parse(delivery.topic)
        self._transport.publish(address.topic("verdict"), encode(answer))

    def _store(self, delivery: Delivery) -> None:
        batch, _ = decode(delivery.payload, Inspections)
        self.stored.update({(row.boot, row.sequence): row for row in batch.inspections})
        address, _ = parse(delivery.topic)
        receipt = Receipt(batch.boot, batch.batch)
        self._transport.publish(address.topic("receipt"), encode(receipt))


def settings_for(folder: Path, bundle: Bundle, **changed: Any) -> EdgeSettings:
    values: dict[str, Any] = {
        "site": "plant",
        "line": "line",
        "device": "box",
        "bundle": bundle.path,
        "camera": {"kind": "folder", "path": folder / "pictures"},
        "actuator": {"kind": "log"},
        "runtime": {"name": "onnx"},
        "deadline_ms": 20_000,
        "journal": {"path": folder / "journal.db"},
    }
    return settings_model().model_validate({**values, **changed})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(40):
        shown = picture(LINE[index % len(LINE)], height=96, width=96)
        cv2.imwrite(str(folder / f"{index:02}.png"), shown)
    return folder


def test_a_folder_of_parts_ends_in_verdicts_at_the_actuator_and_rows_in_the_cloud(
    tmp_path: Path, bundle: Bundle, pictures: Path
) -> None:
    (pictures / "07.png").write_bytes(b"")
    broker, actuator = MemoryBroker(), RecordingActuator()
    cloud = FakeCloud(broker, bundle)
    settings = settings_for(tmp_path, bundle, product={"lot": "L1"})
    box = CameraBox(settings, SystemClock(), transport=broker.transport(), actuator=actuator)
    box.run()

    expected = {part: ["pass", "pass", "reject", "reject"][(part - 1) % 4] for part in range(1, 41)}
    assert actuator.verdicts == expected
    assert len(actuator.actuations) == 40
    assert {row.part: row.verdict for row in cloud.stored.values()} == expected
    by = Counter(row.decided_by for row in cloud.stored.values())
    assert by == {"edge": 20, "cloud": 19, "deadline": 1}
    assert {row.lot for row in cloud.stored.values()} == {"L1"}
    assert all(row["acknowledged"] for row in rows_in(tmp_path))
    assert box.health.problems == ()


class AheadClock(SystemClock):
    """The system's, some seconds ahead of it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class RestartedCloud(FakeCloud):
    """Takes the others, or all, only when the box has waited for it for a while."""

    def __init__(
        self, broker: MemoryBroker, bundle: Bundle, clock: AheadClock, *, takes_the_first: bool
    ) -> None:
        super().__init__(broker, bundle)
        self._clock = clock
        self._takes_the_first = takes_the_first
        self._stopping = False
        self._transport.subscribe(everyone("state"), self._look)

    def _look(self, delivery: Delivery) -> None:
        self._stopping = decode(delivery.payload, StateMessage)[0].state == "stopping"

    def _store(self, delivery: Delivery) -> None:
        if (self._takes_the_first and not self.stored) or self._clock.ahead_s:
            super()._store(delivery)
        elif self._stopping:
            self._clock.ahead_s = 20.0


@pytest.mark.parametrize("takes_the_first", [True, False])
def test_a_cloud_that_is_just_being_started_again_gets_the_last_records_of_pictures_that_end(
    tmp_path: Path, bundle: Bundle, pictures: Path, *, takes_the_first: bool
) -> None:
    broker, clock = MemoryBroker(), AheadClock()
    cloud = RestartedCloud(broker, bundle, clock, takes_the_first=takes_the_first)
    settings = settings_for(tmp_path, bundle)
    box = CameraBox(settings, clock, transport=broker.transport(), actuator=RecordingActuator())
    box.run()
    assert clock.ahead_s
    assert len(cloud.stored) == 40


def test_a_second_start_goes_on_where_the_first_one_ended(
    tmp_path: Path, bundle: Bundle, pictures: Path
) -> None:
    broker = MemoryBroker()
    cloud = FakeCloud(broker, bundle)
    camera = {"kind": "folder", "path": pictures, "loop": True}
    told: list[int] = []
    for limit in (10, 25):
        actuator = RecordingActuator()
        settings = settings_for(tmp_path, bundle, camera={**camera, "limit": limit})
        CameraBox(settings, SystemClock(), transport=broker.transport(), actuator=actuator).run()
        told += [actuation.part for actuation in actuator.actuations]
    assert sorted(told) == list(range(1, 26))
    assert len(cloud.stored) == 25
    assert len({boot for boot, _ in cloud.stored}) == 2


def test_a_box_without_a_cloud_diverts_what_it_is_not_sure_of(
    tmp_path: Path, bundle: Bundle, pictures: Path
) -> None:
    broker, actuator = MemoryBroker(), RecordingActuator()
    transport = broker.transport()
    camera = {"kind": "folder", "path": pictures, "limit": 4}
    settings = settings_for(tmp_path, bundle, camera=camera, deadline_ms=1000)
    box = CameraBox(settings, SystemClock(), transport=transport, actuator=actuator)

    # Stopped by a signal with the broker away: nothing is waited for.
    def cut_off() -> None:
        transport.lose()
        box.stop()

    threading.Timer(2.5, cut_off).start()
    box.run()
    assert actuator.verdicts == {1: "pass", 2: "reject", 3: "reject", 4: "reject"}
    assert Counter(row["decided_by"] for row in rows_in(tmp_path)) == {"edge": 2, "deadline": 2}


def test_a_box_that_is_told_that_there_is_no_cloud_gives_what_it_is_not_sure_of_to_review(
    tmp_path: Path, bundle: Bundle, pictures: Path
) -> None:
    broker, actuator = MemoryBroker(), RecordingActuator()
    cloud = FakeCloud(broker, bundle)
    camera = {"kind": "folder", "path": pictures, "limit": 4}
    settings = settings_for(tmp_path, bundle, camera=camera, escalates=False)
    box = CameraBox(settings, SystemClock(), transport=broker.transport(), actuator=actuator)
    box.run()
    assert actuator.verdicts == {1: "pass", 2: "review", 3: "reject", 4: "review"}
    assert {row.decided_by for row in cloud.stored.values()} == {"edge"}
    assert {row.part: row.verdict for row in cloud.stored.values()} == actuator.verdicts


def test_the_gate_can_be_overridden(tmp_path: Path, bundle: Bundle, pictures: Path) -> None:
    broker, actuator = MemoryBroker(), RecordingActuator()
    FakeCloud(broker, bundle)
    settings = settings_for(tmp_path, bundle, gate={"pass_below": 0.0, "reject_from": 0.0})
    box = CameraBox(settings, SystemClock(), transport=broker.transport(), actuator=actuator)
    box.run()
    assert set(actuator.verdicts.values()) == {"reject"}


def test_a_camera_without_pictures_ends_the_run_with_its_error(
    tmp_path: Path, bundle: Bundle
) -> None:
    box = CameraBox(
        settings_for(tmp_path, bundle),
        SystemClock(),
        transport=MemoryBroker().transport(),
        actuator=RecordingActuator(),
    )
    with pytest.raises(CameraError, match=r"camera\.path"):
        box.run()


def test_a_head_that_disagrees_with_its_golden_outputs_never_goes_live(
    tmp_path: Path, bundle: Bundle
) -> None:
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    other = open_other_head(bundle)
    assert other != files[HEAD]
    manifest = bundle.manifest.model_dump(exclude={"files"})
    broken = write_bundle(tmp_path / "broken", manifest, {**files, HEAD: other})
    with pytest.raises(ParityError):
        CameraBox(
            settings_for(tmp_path, broken), SystemClock(), transport=MemoryBroker().transport()
        )


def test_a_camera_of_no_installed_kind_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    class Strange(type(settings_for(tmp_path, bundle).camera)):  # type: ignore[misc]
        pass

    settings = settings_for(tmp_path, bundle).model_copy(update={"camera": Strange(path=tmp_path)})
    with pytest.raises(SettingsError, match="no installed camera takes Strange"):
        CameraBox(settings, SystemClock(), transport=MemoryBroker().transport())


def test_a_box_takes_any_camera_that_it_is_given(tmp_path: Path, bundle: Bundle) -> None:
    broker, camera = MemoryBroker(), ScriptedCamera([])
    box = CameraBox(
        settings_for(tmp_path, bundle), SystemClock(), transport=broker.transport(), camera=camera
    )
    box.run()
    assert camera.first_part == 1


def open_other_head(bundle: Bundle) -> bytes:
    """The bundle's head with its score turned round."""
    import onnx

    model = onnx.load_from_string(bundle.read(HEAD))
    for tensor in model.graph.initializer:
        if tensor.name == "spread":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(-10.0, np.float32), "spread"))
    return bytes(model.SerializeToString())
