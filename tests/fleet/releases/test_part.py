"""Releases in the cloud's process: kept fresh, their tails served, their registry shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from cloud.inference.registry import TailRegistry
from fleet.configuration.settings import FleetSettings
from fleet.releases.release_builder import ReleaseNote
from fleet.releases.service import ReleasesService, open_releases
from fleet.releases.tails import RunningModels
from fleet.rollouts.service import published
from fleet.storage.database import FleetDatabase
from shared.bundles.bundle import amend_bundle, write_bundle
from shared.bundles.manifest import GOLDEN
from shared.plugins.services import Surroundings
from shared.runtime.settings import RuntimeSettings
from shared.topics import Address
from shared.transport.memory import MemoryBroker
from shared.web.access import FixedAccess
from shared.wire import StateMessage, encode
from shared.worker import DeadWorkers
from tests.bundles import make_bundle
from tests.cloud.web.caller import Caller, include_service
from tests.fleet.releases.rigs import DAY, EVERYWHERE, Yard
from tests.shared.certification.test_promises import GATE, certificate


@dataclass
class Cloud:
    """A part in a cloud that serves one tail of its own configuration, `configured`."""

    yard: Yard
    rack: TailRegistry
    configured: str
    part: ReleasesService
    caller: Caller
    running: dict[str, str] = field(default_factory=dict)

    def tails(self) -> dict[str, dict[str, object]]:
        return {row["pair"]: row for row in self.caller.get("/api/fleet/tails").json()}


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


@pytest.fixture
def cloud(tmp_path: Path, yard: Yard) -> Iterator[Cloud]:
    own = make_bundle(tmp_path / "own", height=32, width=32, name="own")
    rack = TailRegistry([own.path], RuntimeSettings(name="onnx"))
    running: dict[str, str] = {}
    transport = MemoryBroker().transport()
    around = Surroundings(transport, yard.clock, rack, None, threading.Event(), DeadWorkers())
    database = FleetDatabase.in_folder(tmp_path / "fleet")
    settings = FleetSettings(folder=yard.folder)
    part = open_releases(settings, around, database, lambda: running)
    app = FastAPI()
    app.add_middleware(FixedAccess)
    include_service(app, part, yard.clock)
    yield Cloud(
        yard, rack, own.manifest.pair, part, Caller(app, "http://127.0.0.1"), running=running
    )
    part.stop()
    database.close()


def test_the_tail_of_a_published_model_is_served(cloud: Cloud) -> None:
    facts = cloud.yard.add()
    cloud.part.look()
    assert facts.pair not in cloud.rack
    cloud.yard.publish("models")
    cloud.part.look()
    assert facts.pair in cloud.rack
    assert cloud.tails()[facts.pair] == {
        "pair": facts.pair,
        "bundle": facts.bundle,
        "devices": [],
        "release": facts.path,
        "droppable": False,
        "problem": "",
    }


def test_a_release_can_be_rolled_out_in_the_moment_that_it_is_published(cloud: Cloud) -> None:
    facts = cloud.yard.release()
    assert facts.pair not in cloud.rack
    assert published(cloud.yard.store, cloud.part.look)(facts.path) == facts
    assert facts.pair in cloud.rack


def test_a_tail_stays_while_a_device_runs_its_head_even_if_the_release_is_gone(
    cloud: Cloud,
) -> None:
    facts = cloud.yard.release()
    cloud.running["box-1"] = facts.bundle
    cloud.yard.adding.remove(facts.path)
    cloud.yard.publish("models")
    # The cloud starts anew, and the only thing that speaks for this tail is the device.
    cloud.part.look()
    assert facts.pair in cloud.rack
    row = cloud.tails()[facts.pair]
    assert (row["devices"], row["release"], row["droppable"]) == (["box-1"], "", False)
    cloud.running.clear()
    assert cloud.tails()[facts.pair]["droppable"] is True


def test_what_may_be_dropped_is_what_nobody_needs(cloud: Cloud) -> None:
    facts = cloud.yard.release()
    cloud.part.look()
    assert cloud.tails()[facts.pair]["droppable"] is False
    configured = cloud.tails()[cloud.configured]
    assert configured["droppable"] is True
    cloud.running["box-1"] = str(configured["bundle"])
    assert cloud.tails()[cloud.configured]["droppable"] is False


def test_a_device_whose_bundle_is_unknown_is_told(cloud: Cloud) -> None:
    cloud.running["box-9"] = "feedfacefeedface"
    row = cloud.tails()[""]
    assert (row["bundle"], row["devices"]) == ("feedfacefeedface", ["box-9"])
    assert "no release here is this bundle" in str(row["problem"])


def test_a_tail_that_does_not_open_keeps_no_other_away(cloud: Cloud) -> None:
    yard = cloud.yard
    bad = make_bundle(yard.folder / "bad", height=48, width=48, name="bad")
    files = {name: bad.read(name) for name in bad.manifest.files}
    wrong = replace(bad.golden, tail_scores=1 - bad.golden.tail_scores)
    fields = bad.manifest.model_dump(exclude={"files"})
    bad = write_bundle(bad.path, fields, {**files, GOLDEN: wrong.to_bytes()})
    facts = yard.adding.add_model(bad, EVERYWHERE)
    good = yard.add()
    yard.publish("models")
    cloud.part.look()
    assert good.pair in cloud.rack
    assert facts.pair not in cloud.rack
    assert "disagrees with bad" in str(cloud.tails()[facts.pair]["problem"])


def test_the_cloud_signs_again_while_it_runs(cloud: Cloud) -> None:
    before = (cloud.yard.store.metadata / "timestamp.json").read_bytes()
    cloud.yard.clock.advance(DAY * 0.6)
    cloud.part.look()
    assert (cloud.yard.store.metadata / "timestamp.json").read_bytes() != before


def test_lost_online_keys_stop_nothing_else(cloud: Cloud) -> None:
    (cloud.yard.store.keys / "timestamp-1.pem").unlink()
    cloud.part.look()
    assert cloud.caller.get("/api/fleet/releases").status_code == 200


def test_the_part_starts_and_stops(cloud: Cloud) -> None:
    facts = cloud.yard.release()
    cloud.part.start()
    assert facts.pair in cloud.rack
    cloud.part.stop()
    cloud.part.stop()


def test_the_registry_shows_lineage_promises_and_approval(cloud: Cloud) -> None:
    facts = cloud.yard.release()
    cloud.yard.release("1.1.0")
    cloud.yard.add("1.2.0")
    found = cloud.caller.get("/api/fleet/releases").json()
    rows = {row["version"]: row for row in found["releases"]}
    assert [rows[v]["stage"] for v in ("1.0.0", "1.1.0", "1.2.0")] == [
        *("published", "published", "draft")
    ]
    first = rows["1.0.0"]
    assert (first["approved_by"], first["licence"], first["pair"]) == (
        *("A. Rossi", "none"),
        facts.pair,
    )
    assert first["promises"]["certificate"] == "no certificate"
    assert first["promises"]["leakage"].startswith("not measured")
    assert first["promises"]["carries_tail"] is True
    assert [delta["base"] for delta in rows["1.1.0"]["deltas"]] == ["1.0.0"]
    assert {row["role"]: row["waiting"] for row in found["roles"]}["models"] == 4


def test_the_page_shows_releases_tails_and_signatures(cloud: Cloud) -> None:
    facts = cloud.yard.release()
    cloud.part.look()
    cloud.running["box-1"] = facts.bundle
    text = cloud.caller.get("/fleet/releases").text
    for words in ("tiny 1.0.0", facts.pair, "A. Rossi", "box-1", "may be dropped", "timestamp"):
        assert words in text
    cloud.yard.clock.advance(80 * DAY)
    assert "must be signed again" in cloud.caller.get("/fleet/releases").text


def test_the_page_loads_and_runs_nothing_that_the_policy_forbids(cloud: Cloud) -> None:
    cloud.yard.release()
    text = cloud.caller.get("/fleet/releases").text
    for forbidden in ("<style", "style=", "onclick", "http://", "https://"):
        assert forbidden not in text
    # The frame's own scripts come from here, and none stands in the page.
    assert text.count("<script") == text.count('<script src="/static/')


def test_what_people_write_is_text_on_the_page(cloud: Cloud) -> None:
    cloud.yard.release("1.0.0", ReleaseNote(("any",), approved_by="<b>me</b>"))
    assert "&lt;b&gt;me&lt;/b&gt;" in cloud.caller.get("/fleet/releases").text


def test_a_cloud_without_releases_says_how_to_start(tmp_path: Path, yard: Yard) -> None:
    transport = MemoryBroker().transport()
    around = Surroundings(
        transport,
        yard.clock,
        TailRegistry([], RuntimeSettings(name="onnx")),
        None,
        threading.Event(),
        DeadWorkers(),
    )
    database = FleetDatabase.in_folder(tmp_path / "empty")
    part = open_releases(FleetSettings(folder=tmp_path / "empty"), around, database)
    part.start()
    app = FastAPI()
    app.add_middleware(FixedAccess)
    include_service(app, part, yard.clock)
    caller = Caller(app, "http://127.0.0.1")
    assert caller.get("/api/fleet/releases").json() == {"releases": [], "roles": []}
    assert caller.get("/api/fleet/tails").json() == []
    assert "splitsight fleet release init" in caller.get("/fleet/releases").text
    part.stop()
    database.close()


def test_what_devices_run_is_what_they_last_said() -> None:
    broker = MemoryBroker()
    device, cloud = broker.transport(), broker.transport()
    cloud.start()
    device.start()
    running = RunningModels()
    running.listen(cloud)
    topic = Address("plant", "line", "box-1").topic("state")

    def say(state: str, bundle: str) -> None:
        message = StateMessage(state=state, boot="b", at=1.0, bundle=bundle)  # type: ignore[arg-type]
        device.publish(topic, encode(message), retain=True)

    say("online", "aaaa")
    assert running() == {"box-1": "aaaa"}
    say("offline", "")
    assert running() == {"box-1": "aaaa"}
    device.publish(topic, b"rubbish", retain=True)
    say("online", "bbbb")
    assert running() == {"box-1": "bbbb"}
    device.publish(topic, b"", retain=True)
    assert running() == {}


def test_a_model_that_was_certified_anew_is_served_in_place_of_the_one_before(
    cloud: Cloud, tmp_path: Path
) -> None:
    made = make_bundle(tmp_path / "made", height=48, width=48, name="made")
    for version, day in (("1.0.0", "22"), ("1.1.0", "29")):
        kept = certificate(made).model_copy(update={"created": f"2026-11-{day}T10:00:00Z"})
        changes = {"version": version, "gate": GATE, "certificate": kept}
        released = amend_bundle(made, changes, tmp_path / version)
        facts = cloud.yard.adding.add_model(released, EVERYWHERE)
        cloud.yard.publish("models")
        cloud.part.look()
        assert cloud.tails()[facts.pair]["bundle"] == facts.bundle


def test_a_newer_bundle_that_does_not_open_leaves_the_one_before_and_is_told_once(
    cloud: Cloud, tmp_path: Path
) -> None:
    made = make_bundle(tmp_path / "made", height=48, width=48, name="made")
    before = cloud.yard.adding.add_model(made, EVERYWHERE)
    cloud.yard.publish("models")
    cloud.part.look()
    files = {name: made.read(name) for name in made.manifest.files}
    wrong = replace(made.golden, tail_scores=1 - made.golden.tail_scores)
    fields = made.manifest.model_dump(exclude={"files"})
    fields |= {"version": "1.1.0", "gate": GATE, "certificate": certificate(made)}
    torn = write_bundle(tmp_path / "torn", fields, {**files, GOLDEN: wrong.to_bytes()})
    facts = cloud.yard.adding.add_model(torn, EVERYWHERE)
    cloud.yard.publish("models")
    with capture_logs() as logs:
        cloud.part.look()
        cloud.part.look()
    assert cloud.tails()[facts.pair]["bundle"] == before.bundle
    told = [one for one in logs if one["event"] == "tail_not_served"]
    assert [one["of"] for one in told] == [facts.bundle]
