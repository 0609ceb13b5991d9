"""A box whose threads hang or end: it ends, in its time, and says why."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.actuator.base import RecordingActuator
from edge.box import CameraBox
from edge.camera.base import CameraEvent, CameraState
from edge.camera.scripted import ScriptedCamera
from edge.inspection.model import LiveModel
from edge.monitoring.watchdog import Watchdog
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock, SystemClock
from shared.contracts import Finding, Frame
from shared.errors import ActuatorError, AgentFailed, TransportError
from shared.transport.memory import MemoryBroker
from tests.bundles import GOOD, picture
from tests.edge.rigs import rows_in
from tests.edge.test_box import settings_for
from tests.support.waiting import wait_until

AMPLE_S = 60.0
LOOK_S = 0.005


class WaitingCamera(ScriptedCamera):
    """Gives its events, then waits until it is stopped, as a line without parts does."""

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        yield from super().frames(first_part, deadline_s)
        self._stopped.wait(AMPLE_S)


class HangingHead:
    def __init__(self) -> None:
        self.entered, self.released = threading.Event(), threading.Event()

    def look(self, frame: Frame) -> Finding:
        self.entered.set()
        self.released.wait(AMPLE_S)
        raise ValueError(frame.part)


class Running:
    """A box that runs on a thread of the test."""

    def __init__(self, folder: Path, bundle: Bundle, camera: Any, **around: Any) -> None:
        self.beats: list[str] = []
        self.clock = ManualClock()
        self.box = CameraBox(
            settings_for(folder, bundle, deadline_ms=200),
            SystemClock(),
            transport=MemoryBroker().transport(),
            camera=camera,
            actuator=around.pop("actuator", None) or RecordingActuator(),
            pulse=Watchdog(self.clock, self._beat),
            look_s=LOOK_S,
        )
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def ended(self) -> BaseException | None:
        self._thread.join(AMPLE_S)
        assert not self._thread.is_alive()
        return self.error

    def _beat(self, said: str) -> None:
        self.beats.append(said)
        self.clock.advance(60)

    def _run(self) -> None:
        try:
            self.box.run()
        except BaseException as error:  # noqa: BLE001 - for the test
            self.error = error


def frames(count: int) -> list[Frame]:
    now = SystemClock().monotonic() + 2
    return [Frame(picture(GOOD), part, now, now + 0.2) for part in range(1, count + 1)]


def test_a_head_that_hangs_starves_the_watchdog_and_then_ends_the_box_with_a_reason(
    tmp_path: Path, bundle: Bundle
) -> None:
    running = Running(tmp_path, bundle, ScriptedCamera(frames(3)))
    head = HangingHead()
    running.box.agent.swap(LiveModel.of(bundle, head, "hangs"))
    running.start()
    error = running.ended()
    assert isinstance(error, AgentFailed)
    assert "the 1. part has been looked at for" in error.message
    assert len(running.beats) <= 11
    # The part itself got its verdict from its deadline.
    assert [(row["part"], row["verdict"]) for row in rows_in(tmp_path)] == [(1, "reject")]
    head.released.set()


def test_a_line_without_parts_goes_on_beating(tmp_path: Path, bundle: Bundle) -> None:
    running = Running(tmp_path, bundle, WaitingCamera([]))
    running.start()
    wait_until(lambda: len(running.beats) > 100, "the watchdog is fed")
    running.box.stop()
    assert running.ended() is None


def test_a_thread_that_dies_ends_the_box_with_its_name(tmp_path: Path, bundle: Bundle) -> None:
    running = Running(tmp_path, bundle, WaitingCamera(frames(2)))
    running.start()
    wait_until(lambda: running.box.agent.inspected == 2, "both parts are inspected")
    running.box.health.worker_died("journal", OverflowError("too large"))
    error = running.ended()
    assert isinstance(error, AgentFailed)
    assert error.message == "the thread journal has ended (OverflowError: too large)"


class DeafCamera(ScriptedCamera):
    """Neither ends nor lets itself be stopped."""

    def __init__(self) -> None:
        super().__init__([])
        self.released = threading.Event()

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        self.released.wait(AMPLE_S)
        yield from super().frames(first_part, deadline_s)

    def stop(self) -> None:
        self.released.wait(AMPLE_S)


def test_stopping_is_bounded_where_the_camera_hangs(tmp_path: Path, bundle: Bundle) -> None:
    camera = DeafCamera()
    running = Running(tmp_path, bundle, camera)
    running.start()
    wait_until(lambda: running.beats, "it runs")
    running.box.stop()
    error = running.ended()
    assert isinstance(error, AgentFailed)
    assert error.message == "camera, inspection did not end"
    camera.released.set()


def test_what_fails_to_stop_keeps_nothing_else_from_it(tmp_path: Path, bundle: Bundle) -> None:
    class Failing(WaitingCamera):
        def stop(self) -> None:
            super().stop()
            raise OSError("no such device")

    running = Running(tmp_path, bundle, Failing(frames(1)))
    running.start()
    wait_until(lambda: running.box.agent.inspected, "a part is inspected")
    running.box.stop()
    error = running.ended()
    assert isinstance(error, AgentFailed)
    assert error.message == "camera (OSError: no such device) did not end"
    assert len(rows_in(tmp_path)) == 1


def test_a_cameras_state_that_raises_is_told_in_words(tmp_path: Path, bundle: Bundle) -> None:
    class Stateless(WaitingCamera):
        @property
        def state(self) -> CameraState:
            raise OSError("lost")

        @state.setter
        def state(self, _state: CameraState) -> None: ...

    running = Running(tmp_path, bundle, Stateless([]))
    assert running.box._look().camera == "retrying: its state is not known: OSError: lost"
    running.box.journal.close()


class DeadActuator(RecordingActuator):
    """As one whose controller is switched off."""

    def start(self) -> None:
        raise ActuatorError("it does not answer", fix="switch it on")


def test_a_box_whose_actuator_does_not_start_gives_no_numbers_away(
    tmp_path: Path, bundle: Bundle
) -> None:
    for _ in range(3):
        running = Running(tmp_path, bundle, WaitingCamera([]), actuator=DeadActuator())
        assert running.box.agent.last_part == 0
        running.start()
        assert isinstance(running.ended(), ActuatorError)
    assert not list(tmp_path.rglob("*.diverted"))


def test_a_box_that_can_not_be_opened_leaves_its_journal_to_the_next(
    tmp_path: Path, bundle: Bundle
) -> None:
    lacking = {"tls": {"ca": tmp_path / "none.pem"}}
    with pytest.raises(TransportError, match="certificates") as refused:
        CameraBox(settings_for(tmp_path, bundle, broker=lacking), SystemClock())
    # As whoever goes back to other settings while the error is still there.
    assert refused.value.__traceback__ is not None
    running = Running(tmp_path, bundle, WaitingCamera(frames(1)))
    running.start()
    wait_until(lambda: running.box.agent.inspected == 1, "the part is inspected")
    running.box.stop()
    assert running.ended() is None
    assert len(rows_in(tmp_path)) == 1
