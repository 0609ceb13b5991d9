"""Updates of a real agent: its own process, a real broker, real releases by HTTP, real kills."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml
import zstandard

from cloud.broker.embedded import EmbeddedBroker
from edge.updates.intake import CHUNK
from edge.updates.progress import NO_START_LEFT
from shared.bundles.bundle import Bundle, amend_bundle, write_bundle
from shared.errors import RESTART_EXIT
from shared.loopback import free_port
from shared.releases import ReleaseFacts
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.wire import Desired, Reported, decode, encode
from tests.bundles import BAD, GOOD, make_bundle, picture
from tests.edge.rigs import rows_in
from tests.edge.test_update_box import blind
from tests.fleet.releases.mirror import Mirror, files_of
from tests.fleet.releases.rigs import EVERYWHERE, Yard
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

ADDRESS = Address("plant", "line", "box")
RATE = 50.0
PATIENCE_S = 90.0
PAUSE_S = 0.05
MOST_GAP_S = 10.0
BALLAST = 3 * CHUNK + 12_345


@dataclass
class Agent:
    """The agent's process under a supervisor that starts it again, as systemd would.

    command  of `splitsight edge`
    exits    how each process ended; minus the signal's number where one ended it
    """

    config: Path
    log: Path
    command: str = "run"
    exits: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def kill(self) -> None:
        """As a power cut would, for this process."""
        with self._lock:
            if self._process is not None:
                self._process.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            if self._process is not None:
                self._process.terminate()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            with self.log.open("ab") as log, self._lock:
                command = [sys.executable, "-m", "shared.commands", "edge", self.command]
                command += ["--config", str(self.config)]
                self._process = subprocess.Popen(command, stdout=log, stderr=log)
            self.exits.append(self._process.wait())
            self._stopping.wait(0.2)


class Site:
    """One box, one broker, one fleet's releases."""

    def __init__(self, folder: Path, broker: EmbeddedBroker) -> None:
        self.folder = folder
        self.yard = Yard(folder / "yard")
        self.bundle = make_bundle(folder / "factory")
        self.files = files_of(self.yard.folder / "repository")
        self.mirror = Mirror(self.files)
        self.mirror.start()
        self.reports: list[Reported] = []
        self.transport = MqttTransport(
            BrokerSettings.model_validate({"port": broker.port}), "the-cloud"
        )
        self.transport.subscribe(ADDRESS.topic("reply"), self._heard)
        self.transport.start()
        (folder / "root.json").write_bytes(self.yard.root)
        self._pictures(folder / "pictures", [GOOD, BAD])
        self.config = folder / "box.yaml"
        self.config.write_text(yaml.safe_dump(self._settings(broker.port)))
        self.agent = Agent(self.config, folder / "agent.log")
        self._serial = 0

    def _pictures(self, folder: Path, line: list[int]) -> None:
        folder.mkdir()
        for index, brightness in enumerate(line):
            cv2.imwrite(str(folder / f"{index}.png"), picture(brightness))

    def _settings(self, port: int) -> dict[str, Any]:
        camera = {"kind": "folder", "path": "pictures", "rate": RATE, "loop": True}
        return {
            "site": ADDRESS.site,
            "line": ADDRESS.line,
            "device": ADDRESS.device,
            "bundle": "factory",
            "broker": {"port": port},
            "camera": camera,
            "actuator": {"kind": "log"},
            "runtime": {"name": "onnx"},
            "deadline_ms": 5000,
            "updates": {"root": "root.json", "server": self.mirror.url, "reserve_bytes": 0},
        }

    def _heard(self, delivery: Delivery) -> None:
        if delivery.payload:
            self.reports.append(decode(delivery.payload, Reported)[0])

    def release(self, made: Bundle, version: str) -> ReleaseFacts:
        facts = self.yard.adding.add_model(amend_bundle(made, {"version": version}), EVERYWHERE)
        self.yard.publish("models")
        return facts

    def want(self, facts: ReleaseFacts | None = None, **changed: Any) -> None:
        self._serial += 1
        targets = {"model": facts.path} if facts else {}
        wanted = {"targets": targets, "shadow_parts": 10, "health_s": 1.0, **changed}
        payload = encode(Desired(self._serial, **wanted))
        self.await_true(lambda: self.transport.connected)
        self.transport.publish(ADDRESS.topic("command"), payload, retain=True)

    def await_true(self, holds: Callable[[], bool]) -> None:
        try:
            wait_until(holds, "the agent has done so", within_s=PATIENCE_S)
        except AssertionError:
            log = (self.folder / "agent.log").read_text()[-3000:]
            raise AssertionError(f"last: {self.reports[-1:]}; the agent said\n{log}") from None

    def await_report(self, holds: Callable[[Reported], bool]) -> Reported:
        self.await_true(lambda: bool(self.reports) and holds(self.reports[-1]))
        return self.reports[-1]

    def close(self) -> None:
        self.agent.stop()
        self.transport.stop()
        self.mirror.close()

    def longest_gap(self) -> float:
        """Seconds between two parts that were looked at one after the other, at most."""
        at = [float(str(row["inspected_at"])) for row in self.rows()]
        return max(after - before for before, after in pairwise(at))

    def inspects(self) -> bool:
        return time.time() - float(str(self.rows()[-1]["inspected_at"])) < 1

    def rows(self) -> list[dict[str, object]]:
        return rows_in(self.folder)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    with EmbeddedBroker("mosquitto", port=free_port()) as broker:
        site = Site(tmp_path, broker)
        yield site
        site.close()


def large(bundle: Bundle, path: Path) -> Bundle:
    """Another tail, and so much with it that it takes several ranges."""
    made = make_bundle(path.with_name("slim"), kinds=True)
    files: Mapping[str, bytes] = {name: made.read(name) for name in made.manifest.files}
    manifest = made.manifest.model_dump(exclude={"files"})
    return write_bundle(path, manifest, {**files, "trained.bin": os.urandom(BALLAST)})


def test_a_model_update_commits_over_the_air_and_outlives_the_process(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(large(site.bundle, tmp_path / "large"), "2.0.0")
    site.agent.start()
    site.await_report(lambda report: report.phase == "idle")
    site.want(facts)
    report = site.await_report(lambda report: report.running.get("model") == facts.path)
    assert (report.counters["model"], report.failed, report.problem) == (1, {}, "")
    assert report.facts["swap_gap_ms"] < 1000
    site.agent.kill()
    site.reports.clear()
    report = site.await_report(lambda report: report.running.get("model") == facts.path)
    site.await_true(lambda: site.rows()[-1]["bundle"] == facts.bundle)
    parts = [row["part"] for row in site.rows()]
    assert len(set(parts)) == len(parts)


def test_a_download_that_is_cut_off_by_a_kill_goes_on_where_it_was(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(large(site.bundle, tmp_path / "large"), "2.0.0")
    asked, going_on = [], threading.Event()

    def slow(path: str) -> Any:
        if path.startswith("targets/"):
            asked.append(path)
            if len(asked) == 3:
                going_on.wait(PATIENCE_S)
        return site.files(path)

    site.mirror.answer = slow
    site.agent.start()
    site.want(facts)
    site.await_true(lambda: len(asked) == 3)
    site.agent.kill()
    going_on.set()
    site.await_report(lambda report: report.running.get("model") == facts.path)
    assert site.agent.exits == [-signal.SIGKILL]
    # Four ranges, of which the third was asked for twice.
    assert len(asked) == 5


def test_a_blind_model_is_refused_and_the_line_goes_on(site: Site, tmp_path: Path) -> None:
    facts = site.release(blind(site.bundle, tmp_path / "blind"), "2.0.0")
    site.agent.start()
    site.want(facts)
    report = site.await_report(lambda report: bool(report.failed))
    assert "blind" in report.failed[facts.path]
    assert {row["bundle"] for row in site.rows()} == {site.bundle.id}
    assert site.agent.exits == []


def test_a_model_under_which_the_agent_dies_twice_is_gone_at_the_third_start(
    site: Site, tmp_path: Path
) -> None:
    facts = site.release(make_bundle(tmp_path / "other", kinds=True), "2.0.0")
    site.agent.start()
    site.want(facts, health_s=600.0)
    for _ in range(2):
        site.await_report(lambda report: report.phase == "trial")
        site.agent.kill()
        site.reports.clear()
    report = site.await_report(lambda report: bool(report.failed))
    assert report.failed == {facts.path: NO_START_LEFT}
    assert report.running["model"] == ""
    site.await_true(lambda: site.rows()[-1]["bundle"] == site.bundle.id)


def failed_with(reason: str, report: Reported) -> bool:
    return any(reason in why for why in report.failed.values())


def test_settings_from_afar_are_tried_kept_refused_and_taken_back(site: Site) -> None:
    site.agent.start()
    site.want(settings={"deadline_ms": 4000, "runtime.threads": 2})
    report = site.await_report(lambda r: r.phase == "idle" and bool(r.running.get("settings")))
    kept = report.running["settings"]
    assert site.agent.exits == [], "the process goes on; the box was opened anew"
    assert site.longest_gap() < MOST_GAP_S

    for values, reason in (
        ({"deadline_ms": "soon"}, "deadline_ms"),
        ({"broker.port": 1}, "can't be changed from afar"),
        ({"camera.kind": "crystal ball"}, "not one of"),
    ):
        site.want(settings=values)
        report = site.await_report(partial(failed_with, reason))
        assert report.running["settings"] == kept

    (site.folder / "empty").mkdir()
    site.want(settings={"camera.path": str(site.folder / "empty")})
    report = site.await_report(lambda r: NO_START_LEFT in r.failed.values())
    assert report.running["settings"] == kept
    assert len(site.agent.exits) == 1
    parts = [row["part"] for row in site.rows()]
    assert len(set(parts)) == len(parts)


def application(tmp_path: Path, version: str, script: str) -> Path:
    """A payload whose program is a shell script."""
    tree = tmp_path / f"app-{version}" / "bin"
    tree.mkdir(parents=True)
    (tree / "splitsight").write_text(f"#!/bin/sh\n{script}\n")
    (tree / "splitsight").chmod(0o755)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        tar.add(tree, "bin")
    packed = tmp_path / f"{version}.tar.zst"
    packed.write_bytes(zstandard.ZstdCompressor().compress(raw.getvalue()))
    return packed


GOOD_PROGRAM = f'exec {sys.executable} -m shared.commands "$@"'
# Answers when it is asked what it can do, and ends as soon as it should work.
BAD_PROGRAM = f'[ "$2" = run ] && exit 9\n{GOOD_PROGRAM}'


def test_an_application_is_started_by_the_launcher_and_a_bad_one_is_left_again(
    site: Site, tmp_path: Path
) -> None:
    site.agent.command = "start"
    released = []
    for version, script in (("2.0.0", GOOD_PROGRAM), ("3.0.0", BAD_PROGRAM)):
        packed = application(tmp_path, version, script)
        adding = site.yard.adding
        facts = adding.add_file("app", packed, "agent", version, EVERYWHERE)
        site.yard.publish("firmware")
        released.append(facts)
    good, bad = released
    site.agent.start()
    site.want(targets={"app": good.path})
    site.await_report(lambda report: report.running.get("app") == good.path)
    assert site.agent.exits == [RESTART_EXIT]
    site.want(targets={"app": bad.path})
    report = site.await_report(lambda report: bool(report.failed))
    assert report.failed == {bad.path: NO_START_LEFT}
    assert report.running["app"] == good.path
    site.await_true(lambda: len(site.agent.exits) == 4 and site.inspects())
    assert site.longest_gap() < 3 * MOST_GAP_S, "two starts of a bad one, and one of the old"
    assert site.agent.exits == [RESTART_EXIT, RESTART_EXIT, 9, 9]
