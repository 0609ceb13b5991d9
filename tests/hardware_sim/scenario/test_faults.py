"""What each fault does to a plant and what ends it; faults of other packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hardware_sim.camera.faults import Defocus
from hardware_sim.network.conditions import Conditions
from hardware_sim.scenario.faults.base import FAULTS, Fault, RecordingPlant
from hardware_sim.scenario.settings import scenario_model
from shared.settings import validate

Steps = list[tuple[object, ...]]
CONDITIONS = {"partition": True}
AT_ONE: dict[str, tuple[dict[str, object], Steps, Steps]] = {
    "network": (
        {"for_s": 3, "conditions": CONDITIONS},
        [("apply", Conditions(partition=True))],
        [("apply", None)],
    ),
    "cut": ({}, [("cut_connections",)], []),
    "power": ({}, [("cut_power",)], [("start_box",)]),
    "pause": ({"what": "box", "for_s": 3}, [("pause_box",)], [("resume_box",)]),
    "camera": (
        {"for_s": 3, "effect": {"kind": "defocus"}},
        [("set_effect", Defocus())],
        [("clear_effect", "defocus")],
    ),
    "burst": ({"parts": 5, "rate": 0.5}, [("burst", 5, 0.5)], []),
    "speed": ({"speed": 2}, [("change_speed", 2.0)], []),
    "driver_reset": ({"for_s": 4}, [("reset_driver", 4.0)], []),
    "ambient": (
        {"for_s": 4, "celsius": 60},
        [("change_ambient", 60.0)],
        [("change_ambient", 20.0)],
    ),
}


def fault(kind: str, **fields: object) -> Fault:
    values = {
        "name": "s",
        "about": "x",
        "duration_s": 20,
        "cloud": {"workers": 2, "database": "postgresql"},
        "devices": [{"name": "a", "profile": "arm-cpu"}, {"name": "b"}],
        "timeline": [{"kind": kind, "at_s": 2, **fields}],
    }
    return validate(values, scenario_model(), "the scenario").timeline[0]


def test_every_kind_of_fault_that_is_shipped_can_be_loaded() -> None:
    assert set(FAULTS.names()) >= {*AT_ONE, "broker", "cloud", "database"}
    assert all(not loaded.error for loaded in FAULTS.load_all())


@pytest.mark.parametrize("kind", AT_ONE)
def test_a_fault_acts_on_the_device_that_it_is_aimed_at_and_is_undone_there(kind: str) -> None:
    fields, done, undone = AT_ONE[kind]
    plant = RecordingPlant("a", "b")
    undo = fault(kind, device="a", **fields).begin(plant)
    assert plant.stations["a"].done == done
    for end in undo:
        end()
    assert plant.stations["a"].done == [*done, *undone]
    assert plant.stations["b"].done == []


def test_a_fault_of_all_devices_acts_on_each() -> None:
    plant = RecordingPlant("a", "b")
    for end in fault("power").begin(plant):
        end()
    done = [("cut_power",), ("start_box",)]
    assert [station.done for station in plant.stations.values()] == [done, done]


PROCESSES: list[tuple[str, dict[str, object], str]] = [
    ("broker", {}, "broker"),
    ("database", {}, "database"),
    ("cloud", {}, "cloud-1"),
    ("cloud", {"worker": 2}, "cloud-2"),
]


@pytest.mark.parametrize(("kind", "fields", "process"), PROCESSES)
def test_a_process_is_killed_and_started_again(
    kind: str, fields: dict[str, object], process: str
) -> None:
    plant = RecordingPlant("a")
    for start in fault(kind, **fields).begin(plant):
        start()
    assert plant.done == [f"kill {process}", f"start {process}"]


@pytest.mark.parametrize(("kind", "fields", "process"), PROCESSES)
def test_a_process_stands_still_and_goes_on(
    kind: str, fields: dict[str, object], process: str
) -> None:
    plant = RecordingPlant("a")
    for resume in fault("pause", what=kind, for_s=2, **fields).begin(plant):
        resume()
    assert plant.done == [f"pause {process}", f"resume {process}"]


OUTSIDE = '''
from typing import Literal
from hardware_sim.scenario.faults.base import DeviceFault, Seconds, StationControls, Undo

class StandstillFault(DeviceFault):
    """The belt nearly stands."""

    kind: Literal["standstill"] = "standstill"
    for_s: Seconds
    back_to: float

    def begin_at(self, station: StationControls) -> Undo:
        station.change_speed(0.01)
        return lambda: station.change_speed(self.back_to)

class Idle(DeviceFault):
    kind: Literal["idle"] = "idle"
'''
RUN = """
import sys
from pathlib import Path
from hardware_sim.scenario.faults.base import FAULTS, RecordingPlant
from hardware_sim.scenario.settings import load_scenario

plant = RecordingPlant("a")
for end in load_scenario(Path(sys.argv[1])).timeline[0].begin(plant):
    end()
print(plant.stations["a"].done)
print({one.name: one.error for one in FAULTS.load_all()}["idle"])
"""


@pytest.mark.process
def test_a_package_outside_adds_a_fault_by_its_entry_point_alone(tmp_path: Path) -> None:
    (tmp_path / "belt_faults.py").write_text(OUTSIDE)
    about = tmp_path / "belt_faults-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: belt-faults\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[splitsight.faults]\nstandstill = belt_faults:StandstillFault\nidle = belt_faults:Idle\n"
    )
    scenario = tmp_path / "belt.yaml"
    scenario.write_text(
        "name: belt\nabout: x\nduration_s: 20\ndevices: [{name: a}]\n"
        "timeline: [{kind: standstill, at_s: 2, for_s: 3, back_to: 0.5}]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN, scenario],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    acted, idle = done.stdout.splitlines()
    assert acted == "[('change_speed', 0.01), ('change_speed', 0.5)]"
    assert idle == "Idle lacks begin_at"
