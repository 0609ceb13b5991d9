"""`splitsight sim fleet`: real broker, real cloud, many light devices."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.records.database import Database
from cloud.records.store import RecordStore
from cloud.records.tables import InspectionRow
from hardware_sim.processes import child as processes
from hardware_sim.scale.fleet.measurement import FleetMeasurement, FleetTrial
from hardware_sim.scale.fleet.options import (
    MOST_DEVICES,
    FleetOptions,
    device_counts,
    require_broker,
    require_descriptors,
    require_time,
)
from hardware_sim.scale.fleet.records import count
from hardware_sim.scale.fleet.report import growth_exponent
from hardware_sim.scale.recording import HeadCost
from shared.bundles.bundle import Bundle
from shared.errors import STOPPED_EXIT, BundleError, ProcessError, SettingsError
from tests.bundles import make_bundle
from tests.cloud.makers import inspection
from tests.support.commands import splitsight
from tests.support.waiting import wait_until

PATIENCE_S = 60.0
DEVICES = 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture
def options(bundle: Bundle) -> FleetOptions:
    return FleetOptions(
        devices=(DEVICES,),
        bundle=bundle.path,
        every_s=0.5,
        escalated=0.2,
        seconds=3.0,
        settle_s=1.0,
        runtime="onnx",
    )


@pytest.fixture
def trial(options: FleetOptions, tmp_path: Path) -> Iterator[FleetTrial]:
    running = FleetMeasurement(options, tmp_path).trial(DEVICES)
    yield running
    running.runner.stop()


@pytest.mark.process
def test_a_fleet_loses_nothing_counts_nothing_twice_and_says_what_it_costs(bundle: Bundle) -> None:
    done = splitsight(
        *("sim", "fleet", "--devices", f"{DEVICES}", "--every", "0.5", "--escalated", "0.2"),
        *("--seconds", "3", "--settle", "1", "--runtime", "onnx", "--bundle", bundle.path),
        *("--format", "json"),
    )
    assert done.code == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["devices"] == DEVICES
    # A part each half second and device, for as long as they settle and are measured.
    assert row["parts"] == pytest.approx(DEVICES * 8, abs=DEVICES)
    assert (row["lost"], row["duplicates"], row["without_verdict"]) == (0, 0, 0)
    assert row["escalation_ms"]["count"] == pytest.approx(DEVICES * 6 * 0.2, abs=DEVICES)
    assert 0 < row["escalation_ms"]["p50"] <= row["escalation_ms"]["p99"]
    assert row["broker"]["connections"] >= DEVICES + 1
    assert row["broker"]["cpu_ms_per_part"] > 0
    assert row["cloud"]["cpu_ms_per_part"] > 0
    # Each part sends a batch and a state; an escalation more.
    assert 200 < row["per_device"]["bytes_per_part"] < 5000
    assert set(row["per_device"]) == {"cpu_ms_per_part", "memory_kb", "bytes_per_part"}
    assert row["simulator"]["memory_kb"] > 10_000
    assert row["growth_exponent"] is None


@pytest.mark.process
def test_a_broker_that_is_killed_on_the_way_costs_no_part(trial: FleetTrial) -> None:
    trial.runner.start()
    trial.connect()
    trial.begin()
    wait_until(
        lambda: sum(p.inspected for p in trial.runner.progress()) >= DEVICES,
        "a part of each device",
        within_s=PATIENCE_S,
    )
    broker = trial.runner.broker.pid
    assert broker is not None
    os.kill(broker, signal.SIGKILL)
    outcomes = trial.finish()
    inspected = {name: n for one in outcomes for name, n in one.inspected.items()}
    assert len(inspected) == DEVICES
    assert sum(inspected.values()) >= DEVICES * 6
    assert sum(one.reconnects for one in outcomes) >= DEVICES
    assert sum(one.actuated for one in outcomes) == sum(inspected.values())
    assert count(trial.runner.cloud.database, inspected) == (0, 0)


@pytest.mark.process
def test_a_worker_that_dies_ends_the_trial_with_its_name(trial: FleetTrial) -> None:
    trial.runner.start()
    trial.connect()
    worker = trial.runner.workers[0].pid
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(ProcessError, match="worker-1 ended with exit code -9"):
        trial.finish()


def stored(device: str, boot: str, sequence: int, part: int) -> InspectionRow:
    return inspection(sequence, device=device, boot=boot, part=part)


def test_records_that_are_missing_or_double_are_counted(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'records.db'}"
    database = Database(url)
    database.migrate()
    records = [stored("a", "1", 1, 1), stored("a", "1", 2, 2), stored("a", "2", 1, 2)]
    RecordStore(database).save([*records, stored("b", "1", 1, 1)])
    database.close()
    assert count(url, {"a": 2, "b": 1}) == (0, 1)
    # A part of `b` and all of `c` came by and are not there.
    assert count(url, {"a": 2, "b": 2, "c": 3}) == (4, 1)


@pytest.mark.process
def test_ctrl_c_ends_a_fleet_and_leaves_no_orphan(bundle: Bundle) -> None:
    command = ("sim", "fleet", "--devices", "5", "--runtime", "onnx", "--bundle", str(bundle.path))
    with subprocess.Popen(
        processes.splitsight(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "broker_started" in line:
                break
        wait_until(
            lambda: len(psutil.Process(running.pid).children()) >= 2,
            "two processes",
            within_s=PATIENCE_S,
        )
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        printed, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == STOPPED_EXIT
    assert printed.strip() == ""
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


# ---- what is refused


@pytest.mark.parametrize("text", ["0", "-3", "10,0", f"{MOST_DEVICES + 1}", "ten", "", "10,,20"])
def test_numbers_of_devices_that_can_not_be_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--devices") as refused:
        device_counts(text)
    assert refused.value.fix


def test_numbers_of_devices_come_fewest_first_and_once() -> None:
    assert device_counts("100, 10,100,1000") == (10, 100, 1000)


def test_more_devices_than_files_may_be_open_are_refused_with_the_limit_and_the_remedy() -> None:
    require_descriptors(800, limit=1024)
    with pytest.raises(SettingsError, match="this shell allows 1024") as refused:
        require_descriptors(1000, limit=1024)
    assert "ulimit -n 1128" in refused.value.fix


def test_more_devices_than_the_broker_can_hold_are_refused() -> None:
    require_broker(1000, "mosquitto")
    with pytest.raises(SettingsError, match="too many for iotcore") as refused:
        require_broker(1000, "iotcore")
    assert "apt install mosquitto" in refused.value.fix


def test_a_folder_with_an_earlier_run_is_not_written_over(
    options: FleetOptions, tmp_path: Path
) -> None:
    (tmp_path / f"devices-{DEVICES}").mkdir()
    with pytest.raises(SettingsError, match="holds an earlier run"):
        FleetMeasurement(options, tmp_path)


def test_an_interval_that_no_box_or_no_simulator_could_hold_is_refused(
    options: FleetOptions,
) -> None:
    cost = HeadCost(head_ms=600.0, tail_ms=1.0, escalation_bytes=1.0)
    with pytest.raises(SettingsError, match="shorter than the head takes"):
        require_time(options, cost)
    crowded = FleetOptions(devices=(10_000,), bundle=options.bundle, every_s=10.0, workers=1)
    with pytest.raises(SettingsError, match="make 1000 parts/s") as refused:
        require_time(crowded, cost._replace(head_ms=1.0))
    assert "--every 40" in refused.value.fix


def test_a_bundle_that_is_not_there_is_said_at_once(options: FleetOptions, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        FleetMeasurement(replace(options, bundle=tmp_path / "none"), tmp_path)


@pytest.mark.parametrize("option", ["port", "broker_port"])
def test_a_taken_port_is_said_before_anything_starts(
    options: FleetOptions, tmp_path: Path, option: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ProcessError, match=f"port {port} on 127.0.0.1 is taken") as refused:
            FleetMeasurement(replace(options, **{option: port}), tmp_path)
    assert f"--{option.replace('_', '-')}" in refused.value.fix


# ---- the arithmetic


@given(
    st.floats(-1, 2),
    st.floats(0.1, 100),
    st.lists(st.integers(1, 10**5), min_size=2, max_size=5, unique=True),
)
def test_the_growth_exponent_of_a_power_law_is_its_power(
    power: float, factor: float, devices: list[int]
) -> None:
    found = growth_exponent(devices, [factor * n**power for n in devices])
    assert found == pytest.approx(power, abs=0.002)


def test_one_number_of_devices_says_nothing_of_growth() -> None:
    assert growth_exponent([10], [1.0]) is None
    assert growth_exponent([10, 100], [1.0, -0.1]) is None
