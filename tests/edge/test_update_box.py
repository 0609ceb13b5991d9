"""A running box takes another model: real releases, real HTTP, real heads; the line goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge.actuator.base import RecordingActuator
from edge.box import CameraBox
from edge.camera.base import CameraEvent
from edge.camera.scripted import ScriptedCamera
from edge.configuration.settings import EdgeSettings
from shared.bundles.bundle import Bundle, Golden, amend_bundle, write_bundle
from shared.bundles.manifest import GOLDEN, HEAD, HEAD_FLOAT
from shared.contracts import Frame
from shared.releases import ReleaseFacts
from shared.runtime.base import open_runtime
from shared.topics import everyone
from shared.transport.memory import MemoryBroker
from shared.wire import Desired, Escalation, Reported, StateMessage, decode, encode
from tests.bundles import BAD, GOOD, UNSURE_BAD, UNSURE_GOOD, make_bundle, picture
from tests.edge.rigs import ADDRESS, rows_in
from tests.edge.test_box import FakeCloud, settings_for
from tests.fleet.releases.mirror import Mirror
from tests.fleet.releases.rigs import EVERYWHERE, Yard
from tests.support.waiting import wait_until

LINE = [GOOD, UNSURE_GOOD, BAD, UNSURE_BAD]
EVERY_S = 0.01
PATIENCE_S = 60.0


class SiteClock:
    """The machine's monotonic clock, and the yard's UTC."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> float:
        return self._yard.clock.utc()


class Line:
    """Parts come every EVERY_S seconds until `stop`."""

    def __init__(self) -> None:
        self.parts = 0
        self._stopped = threading.Event()
        self._pictures = [picture(brightness, height=64, width=64) for brightness in LINE]

    def events(self) -> Iterator[CameraEvent]:
        while not self._stopped.wait(EVERY_S):
            now = time.monotonic()
            shown = self._pictures[self.parts % len(LINE)]
            self.parts += 1
            yield Frame(shown, self.parts, now, now + 5.0, f"{self.parts}.png")

    def stop(self) -> None:
        self._stopped.set()


class Site:
    """A box on a line, its broker, and the releases of its fleet."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder = folder
        self.bundle = bundle
        self.yard = Yard(folder / "yard")
        self.mirror = Mirror(self._served)
        self.mirror.start()
        self.broker = MemoryBroker()
        self.cloud = self.broker.transport()
        self.cloud.start()
        self.reports: list[Reported] = []
        self.states: list[StateMessage] = []
        self.cloud.subscribe(
            everyone("reply"), lambda d: self.reports.append(decode(d.payload, Reported)[0])
        )
        self.cloud.subscribe(
            everyone("state"), lambda d: self.states.append(decode(d.payload, StateMessage)[0])
        )
        FakeCloud(self.broker, bundle)
        (folder / "root.json").write_bytes(self.yard.root)
        self.line = Line()
        self.actuator = RecordingActuator()
        self._serial = 0
        self._thread: threading.Thread | None = None

    def _served(self, path: str) -> bytes | None:
        file = self.yard.folder / "repository" / path
        return file.read_bytes() if file.is_file() else None

    def settings(self, **changed: Any) -> EdgeSettings:
        updates = {
            "folder": self.folder / "updates",
            "root": self.folder / "root.json",
            "server": self.mirror.url,
            "reserve_bytes": 0,
        }
        return settings_for(self.folder, self.bundle, **{"updates": updates, **changed})

    def start(self) -> CameraBox:
        self.line = Line()
        self.box = CameraBox(
            self.settings(),
            SiteClock(self.yard),
            transport=self.broker.transport(),
            camera=ScriptedCamera(self.line.events()),
            actuator=self.actuator,
        )
        self._thread = threading.Thread(target=self.box.run, daemon=True)
        self._thread.start()
        return self.box

    def stop(self) -> None:
        self.line.stop()
        if self._thread is not None:
            self.box.stop()
            self._thread.join(PATIENCE_S)
            assert not self._thread.is_alive()
        self._thread = None

    def close(self) -> None:
        self.stop()
        self.mirror.close()

    def release(self, made: Bundle, version: str) -> ReleaseFacts:
        facts = self.yard.adding.add_model(amend_bundle(made, {"version": version}), EVERYWHERE)
        self.yard.publish("models")
        return facts

    def want(self, facts: ReleaseFacts, **changed: Any) -> None:
        self._serial += 1
        wanted = {"targets": {"model": facts.path}, "shadow_parts": 20, "health_s": 0.5, **changed}
        self.cloud.publish(
            ADDRESS.topic("command"), encode(Desired(self._serial, **wanted)), retain=True
        )

    def await_report(self, holds: Callable[[Reported], bool]) -> Reported:
        def reported() -> Reported | None:
            last = self.reports[-1:]
            return last[0] if last and holds(last[0]) else None

        found = wait_until(reported, "it is reported", within_s=PATIENCE_S)
        assert found is not None
        return found


@pytest.fixture
def site(tmp_path: Path, bundle: Bundle) -> Iterator[Site]:
    site = Site(tmp_path, bundle)
    yield site
    site.close()


def other_pair(folder: Path) -> Bundle:
    """As good as the first, with another tail."""
    return make_bundle(folder / "other", kinds=True)


def blind(bundle: Bundle, path: Path) -> Bundle:
    """A head that gives every part the same score, and says so in its golden outputs."""
    model = onnx.load_from_string(bundle.read(HEAD))
    for tensor in model.graph.initializer:
        if tensor.name == "spread":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(1e9, np.float32), "spread"))
    head = bytes(model.SerializeToString())
    runtime = open_runtime("onnx", head)
    scores = [runtime.run(one[np.newaxis])[2].reshape(-1)[0] for one in bundle.golden.inputs]
    known = np.array(scores, np.float32)
    golden: Golden = replace(bundle.golden, edge_scores=known, float_scores=known)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    changed = {HEAD: head, HEAD_FLOAT: head, GOLDEN: golden.to_bytes()}
    return write_bundle(path, bundle.manifest.model_dump(exclude={"files"}), {**files, **changed})


def test_a_model_is_replaced_between_two_parts_and_none_is_lost_or_judged_twice(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(other_pair(tmp_path), "2.0.0")
    assert facts.pair != site.bundle.manifest.pair
    site.start()
    site.want(facts)
    report = site.await_report(lambda r: r.running.get("model") == facts.path)
    assert (report.phase, report.counters["model"], report.failed) == ("idle", 1, {})
    site.await_report(lambda r: r.facts["inspected"] > 0)
    site.stop()

    assert [a.part for a in site.actuator.actuations].count(1) == 1
    assert sorted(a.part for a in site.actuator.actuations) == list(range(1, site.line.parts + 1))
    rows = rows_in(tmp_path)
    bundles = [str(row["bundle"]) for row in rows]
    assert bundles == sorted(bundles, key=[site.bundle.id, facts.bundle].index)
    assert set(bundles) == {site.bundle.id, facts.bundle}
    by_part = {row["part"]: row["bundle"] for row in rows}
    pairs = {site.bundle.id: site.bundle.manifest.pair, facts.bundle: facts.pair}
    topic = ADDRESS.topic("escalation")
    escalated = [
        decode(d.payload, Escalation)[0] for d in site.broker.published if d.topic == topic
    ]
    assert escalated
    assert all(one.pair == pairs[str(by_part[one.part])] for one in escalated)
    assert site.states[-1].bundle == facts.bundle
    phases = list(dict.fromkeys(report.phase for report in site.reports))
    assert "trial" in phases


def test_a_blind_model_never_decides_a_part(site: Site, tmp_path: Path) -> None:
    facts = site.release(blind(site.bundle, tmp_path / "blind"), "2.0.0")
    site.start()
    site.want(facts)
    report = site.await_report(lambda r: bool(r.failed))
    assert "blind" in report.failed[facts.path]
    site.stop()
    assert {row["bundle"] for row in rows_in(tmp_path)} == {site.bundle.id}


def test_a_blind_model_that_was_not_shadowed_is_taken_back_between_two_parts(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(blind(site.bundle, tmp_path / "blind"), "2.0.0")
    box = site.start()
    wait_until(lambda: box.agent.inspected >= 60, "60 parts", within_s=PATIENCE_S)
    site.want(facts, shadow_parts=0, health_s=30.0)
    report = site.await_report(lambda r: bool(r.failed))
    assert "blind" in report.failed[facts.path]
    assert report.running["model"] == ""
    begun = box.agent.inspected
    wait_until(lambda: box.agent.inspected > begun + 1, "parts since", within_s=PATIENCE_S)
    site.stop()
    assert sorted(a.part for a in site.actuator.actuations) == list(range(1, site.line.parts + 1))
    bundles = [row["bundle"] for row in rows_in(tmp_path)]
    assert (bundles[0], bundles[-1]) == (site.bundle.id, site.bundle.id)
    assert facts.bundle in bundles


def test_a_box_starts_with_what_was_committed_and_falls_back_where_that_is_damaged(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(other_pair(tmp_path), "2.0.0")
    site.start()
    site.want(facts)
    site.await_report(lambda r: r.running.get("model") == facts.path)
    site.stop()
    assert site.start().agent.model.bundle == facts.bundle
    site.stop()
    slot = tmp_path / "updates" / "model" / "b.zip"
    slot.write_bytes(slot.read_bytes()[:-2000])
    assert site.start().agent.model.bundle == site.bundle.id


def test_a_trial_whose_bundle_can_not_be_opened_ends_at_the_start(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(other_pair(tmp_path), "2.0.0")
    site.start()
    site.want(facts, health_s=600.0)
    site.await_report(lambda r: r.phase == "trial")
    site.stop()
    slot = tmp_path / "updates" / "model" / "b.zip"
    slot.write_bytes(b"damaged")
    assert site.start().agent.model.bundle == site.bundle.id
    report = site.await_report(lambda r: bool(r.failed))
    assert report.running["model"] == ""
    assert site.box.updater is not None


def test_a_payload_with_another_pair_than_was_signed_is_refused(site: Site, tmp_path: Path) -> None:
    site.release(other_pair(tmp_path), "2.0.0")
    facts = ReleaseFacts(
        kind="model", name="tiny", version="2.0.0", counter=1, bundle="0" * 16, pair="0" * 16
    )

    def lie(targets: Any) -> None:
        targets.targets[facts.path].unrecognized_fields["custom"].update(pair="0" * 16)

    site.yard.forge("models", lie, [site.yard.key("models")])
    site.start()
    site.want(facts)
    report = site.await_report(lambda r: bool(r.failed))
    assert "signed are" in report.failed[facts.path]
    assert "pair 0000" in report.failed[facts.path]


def test_a_release_for_other_hardware_is_refused(site: Site, tmp_path: Path) -> None:
    made = amend_bundle(other_pair(tmp_path), {"version": "2.0.0"})
    word = replace(EVERYWHERE, hardware=("riscv",))
    facts = site.yard.adding.add_model(made, word)
    site.yard.publish("models")
    site.start()
    site.want(facts)
    report = site.await_report(lambda r: bool(r.failed))
    assert "fits riscv" in report.failed[facts.path]


def test_a_held_box_judges_on_and_says_nothing_of_its_parts(site: Site, tmp_path: Path) -> None:
    facts = site.release(other_pair(tmp_path), "2.0.0")
    site.start()
    site.want(facts, held="the same identity was seen twice")
    site.await_report(lambda r: "seen twice" in r.problem)
    escalations = ADDRESS.topic("escalation"), ADDRESS.topic("inspections")
    before = len([d for d in site.broker.published if d.topic in escalations])
    parts = site.line.parts
    wait_until(lambda: site.line.parts >= parts + 20, "20 more parts", within_s=PATIENCE_S)
    assert len([d for d in site.broker.published if d.topic in escalations]) == before
    site.stop()
    site.reports.clear()
    box = site.start()
    assert box.health.problems == ("held: the same identity was seen twice",)
    site.await_report(lambda r: "seen twice" in r.problem)
    site.want(facts)
    site.await_report(lambda r: r.running.get("model") == facts.path)
