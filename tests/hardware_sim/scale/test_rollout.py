"""Twenty light devices with the product's own updates: a bad model is stopped, a good one kept."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.scale.recording import RecordedFindings, Recording, record
from hardware_sim.scale.rollout.behaviour import (
    BehavingHead,
    Behaviour,
    ProcessDied,
)
from hardware_sim.scale.rollout.box import UpdateMessages
from hardware_sim.scale.rollout.report import BoxStory, RolloutReport, seconds_until_back
from hardware_sim.scale.rollout.trial import RolloutOptions, RolloutTrial
from shared.bundles.bundle import Bundle
from shared.contracts import Decision, Frame
from shared.transport.memory import MemoryBroker
from tests.bundles import make_bundle
from tests.support.commands import splitsight

DEVICES = 20
OLD, NEW = "models/m/1.zip", "models/m/2.zip"
QUICK = ("--every", "0.4", "--shadow-parts", "5", "--health", "8", "--runtime", "onnx")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(scope="module")
def recording(bundle: Bundle) -> Recording:
    return record(bundle, "onnx")[0]


@pytest.mark.process
@pytest.mark.parametrize("release", ["crashing", "slow", "blind"])
def test_a_bad_model_is_stopped_at_one_device_which_goes_back(bundle: Bundle, release: str) -> None:
    done = splitsight(
        *("sim", "rollout", "--devices", f"{DEVICES}", "--release", release, *QUICK),
        *("--bundle", bundle.path, "--format", "json"),
    )
    assert done.code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["state"] == "stopped"
    assert report["stopped_at_share"] == 1 / DEVICES
    assert report["reached_share"] == 0.0
    assert report["back_on_old_s"] <= 120
    assert report["gap_s"] <= 10
    assert (report["crashes"] > 0) == (release == "crashing")


@pytest.mark.process
def test_a_good_model_reaches_every_device_though_the_cloud_is_killed_on_the_way(
    bundle: Bundle, tmp_path: Path
) -> None:
    options = RolloutOptions(
        bundle=bundle.path,
        devices=DEVICES,
        every_s=0.4,
        shadow_parts=5,
        health_s=2.0,
        soak_s=1.0,
        runtime="onnx",
    )
    trial = RolloutTrial(options, tmp_path)
    killed: list[str] = []

    def kill_once() -> None:
        if trial.status.get("ring") == "25 %" and not killed:
            killed.append(trial.status["state"])
            trial.runner.cloud.child.kill()
            trial.runner.cloud.start()

    try:
        report = trial.run(kill_once)
    finally:
        trial.runner.stop()
    assert killed == ["running"]
    assert report.broken == []
    assert (report.state, report.reached_share, report.crashes) == ("done", 1.0, 0)


@pytest.mark.process
def test_a_release_that_is_bad_elsewhere_only_is_taken_from_those_that_kept_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    options = RolloutOptions(
        bundle=bundle.path,
        devices=DEVICES,
        release="crashing",
        spared=1,
        every_s=0.4,
        shadow_parts=5,
        health_s=8.0,
        soak_s=1.0,
        runtime="onnx",
    )
    trial = RolloutTrial(options, tmp_path)
    try:
        report = trial.run(lambda: None)
    finally:
        trial.runner.stop()
    # In so small a fleet the 5 % are the canary, so the next ring is the first to suffer.
    assert report.state == "stopped"
    assert report.reached_share == 0.0
    assert report.back_on_old_s is not None
    assert 0 < report.back_on_old_s <= 120
    assert report.gap_s <= 10


# ---- what it is made of


def frame(part: int) -> Frame:
    return Frame(np.zeros((1, 1), np.uint8), part, 0.0, 1.0)


def head(recording: Recording, behaviour: Behaviour, lives: int = 3) -> BehavingHead:
    return BehavingHead(RecordedFindings(recording, 0.0, ""), behaviour, lives)


@given(part=st.integers(1, 10**6), seed=st.integers(0, 1000))
def test_two_good_heads_agree_on_every_part(recording: Recording, part: int, seed: int) -> None:
    findings = RecordedFindings(recording, 0.0, f"{seed}")
    assert findings.of(part) is findings.of(part)
    assert findings.of(part).decision is not Decision.ESCALATE


def test_a_blind_head_finds_every_part_alike(recording: Recording) -> None:
    blind = head(recording, "blind")
    assert {(blind.look(frame(n)).score, blind.look(frame(n)).decision) for n in range(9)} == {
        (0.02, Decision.PASS)
    }


def test_a_crashing_head_dies_only_while_it_decides_parts(recording: Recording) -> None:
    crashing = head(recording, "crashing")
    for part in range(50):
        crashing.look(frame(part))
    crashing.live = True
    for part in range(3):
        crashing.look(frame(part))
    with pytest.raises(ProcessDied):
        crashing.look(frame(3))


def story(*ran: tuple[str, float]) -> BoxStory:
    return BoxStory("box", list(ran), 10, 0, 1.0, 0.0)


def test_the_time_until_all_are_back_runs_from_the_first_part_to_the_last_device() -> None:
    first = story((OLD, 0.0), (NEW, 10.0), (OLD, 12.0))
    second = story((OLD, 0.0), (NEW, 11.0), (OLD, 40.0))
    assert seconds_until_back([story((OLD, 0.0))], NEW) == 0.0
    assert seconds_until_back([first, second], NEW) == 30.0
    assert seconds_until_back([first, story((OLD, 0.0), (NEW, 9.0))], NEW) is None


KEPT = RolloutReport(
    devices=200,
    release="blind",
    state="stopped",
    reason="",
    stopped_at_share=0.05,
    live_share=0.0,
    back_on_old_s=119.0,
    returned_s=3.0,
    reached_share=0.0,
    gap_s=9.9,
    gap_median_s=1.0,
    every_s=1.0,
    crashes=0,
    minutes=1.0,
    parts=100,
    shadow_parts=20,
    health_s=10.0,
    spared=0,
    machine="",
    measured_at="",
)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stopped_at_share": 0.055}, "more than 5 %"),
        ({"stopped_at_share": None}, "more than 5 %"),
        ({"back_on_old_s": 121.0}, "after 120 s"),
        ({"back_on_old_s": None}, "after 120 s"),
        ({"state": "done"}, "was not stopped"),
        ({"reached_share": 0.01}, "still runs"),
        ({"gap_s": 10.1}, "more than 10 s"),
        ({"release": "good", "reached_share": 0.99}, "did not reach every device"),
    ],
)
def test_a_broken_promise_is_named(changes: dict[str, object], told: str) -> None:
    assert KEPT.broken == []
    broken = msgspec.structs.replace(KEPT, **changes)
    assert any(told in text for text in broken.broken)


def test_mail_waits_for_the_thread_of_the_connection() -> None:
    broker = MemoryBroker()
    transport = broker.transport()
    mail = UpdateMessages(transport)
    thread = threading.Thread(target=lambda: mail.publish("a/b", b"1", retain=True))
    thread.start()
    thread.join()
    mail.carry()
    assert broker.published == []
    transport.start()
    mail.carry()
    assert [one.payload for one in broker.published] == [b"1"]
    assert "a/b" in broker.retained
