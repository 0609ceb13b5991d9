"""Boxes with certificates on a real Mosquitto, through the gateway and back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from cloud.broker.embedded import EmbeddedBroker
from cloud.broker.programs import Mosquitto
from cloud.configuration.settings import SecureListenerSettings
from edge.actuator.base import RecordingActuator
from edge.box import CameraBox
from edge.configuration.settings import EdgeSettings, settings_model
from edge.identity.transport import CertifiedTransport
from fleet.identity.service import IdentityService
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock
from shared.inspection import Inspection
from shared.loopback import free_port
from shared.plugins.services import NoTails, Surroundings
from shared.topics import everyone, parse
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.wire import (
    CloudVerdict,
    Escalation,
    Inspections,
    Receipt,
    decode,
    encode,
)
from shared.worker import DeadWorkers
from tests.bundles import UNSURE_GOOD, make_bundle, picture
from tests.fleet.identity.rigs import BOX, Office, gateway_of, open_office
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_S = 60.0
# So short that a renewal is due whenever the keeper looks.
DAYS = 0.001


class Answering:
    """A cloud that passes every part at once, and keeps what it is told."""

    def __init__(self, transport: MqttTransport) -> None:
        self._transport = transport
        self.stored: Counter[tuple[str, int]] = Counter()
        self.rows: dict[tuple[str, int], Inspection] = {}
        transport.subscribe(everyone("escalation"), self._judge)
        transport.subscribe(everyone("inspections"), self._store)

    def by(self, decider: str) -> int:
        return sum(row.decided_by == decider for row in list(self.rows.values()))

    def _judge(self, delivery: Delivery) -> None:
        asked, _ = decode(delivery.payload, Escalation)
        address, _ = parse(delivery.topic)
        answer = CloudVerdict(asked.boot, asked.sequence, asked.part, "pass", 0.1)
        self._transport.publish(address.topic("verdict"), encode(answer))

    def _store(self, delivery: Delivery) -> None:
        batch, _ = decode(delivery.payload, Inspections)
        address, _ = parse(delivery.topic)
        self.rows.update({(row.boot, row.part): row for row in batch.rows})
        self._transport.publish(address.topic("receipt"), encode(Receipt(batch.boot, batch.batch)))


@dataclass
class Site:
    """A cloud with a fleet, and what its boxes need."""

    folder: Path
    bundle: Bundle
    office: Office
    part: IdentityService
    cloud: Answering
    port: int

    def hear_more(self) -> None:
        """Return when another inspection has come."""
        before = len(self.cloud.rows)
        wait_until(lambda: len(self.cloud.rows) > before, "another inspection")

    def settings(self, name: str, claim_file: Path) -> EdgeSettings:
        pictures = self.folder / "pictures"
        if not pictures.exists():
            pictures.mkdir()
            shown = picture(UNSURE_GOOD, height=96, width=96)
            cv2.imwrite(str(pictures / "unsure.png"), shown)
        return settings_model().model_validate(
            {
                "site": BOX.site,
                "line": BOX.line,
                "device": BOX.device,
                "bundle": self.bundle.path,
                "camera": {"kind": "folder", "path": pictures, "rate": 40, "loop": True},
                "actuator": {"kind": "log"},
                "runtime": {"name": "onnx"},
                "deadline_ms": 4000,
                "journal": {"path": self.folder / name / "journal.db"},
                "broker": {"port": self.port},
                "identity": {
                    "folder": self.folder / name / "identity",
                    "gateway": f"https://127.0.0.1:{self.part.gateway.port}",
                    "ca": self.office.ca,
                    "claim_file": claim_file,
                },
            }
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if Mosquitto().found() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    clock = SystemClock()
    with open_office(tmp_path / "fleet", clock, DAYS) as office:
        files = office.authority.files
        secure = SecureListenerSettings(
            port=free_port(),
            ca=files.certificate,
            certificate=files.server_certificate,
            key=files.server_key,
            crl=files.revoked,
        )
        with EmbeddedBroker("mosquitto", port=free_port(), secure=secure) as broker:
            transport = MqttTransport(BrokerSettings.model_validate({"port": broker.port}), "cloud")
            cloud = Answering(transport)
            dead = DeadWorkers()
            around = Surroundings(transport, clock, NoTails(), None, threading.Event(), dead)
            part = IdentityService(office.registrar, gateway_of(office), around)
            part.start()
            transport.start()
            assert transport.wait_until_connected(PATIENCE_S)
            bundle = make_bundle(tmp_path / "bundle")
            yield Site(tmp_path, bundle, office, part, cloud, secure.port)
            part.stop()
            transport.stop()


class Running:
    """A box that inspects on a thread."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.actuator = RecordingActuator()
        self.box = CameraBox(settings, SystemClock(), actuator=self.actuator)
        self._thread = threading.Thread(target=self.box.run)
        self._thread.start()

    @property
    def transport(self) -> CertifiedTransport:
        assert isinstance(self.box.transport, CertifiedTransport)
        return self.box.transport

    def stop(self) -> None:
        self.box.stop()
        self._thread.join()


def test_a_box_inspects_before_it_has_a_certificate_and_enrols_when_it_gets_a_claim(
    site: Site, tmp_path: Path
) -> None:
    claim = tmp_path / "claim"
    running = Running(site.settings("box", claim))
    # Its camera has shown parts before anything of the network is there.
    wait_until(lambda: running.box.agent.inspected > 5, "parts are inspected")
    wait_until(
        lambda: any("no claim" in problem for problem in running.box.health.problems),
        "the box says that it has no claim",
    )
    assert not running.transport.connected
    claim.write_text(site.office.registrar.claim(BOX, 1.0).token + "\n")
    running.transport.keeper.step()
    wait_until(lambda: site.cloud.by("cloud") > 20, "the cloud decides")
    assert not running.box.health.problems
    running.stop()
    # Parts from before had no one to ask: fail-safe, and told later.
    assert site.cloud.by("deadline") > 5
    assert len(site.cloud.rows) == running.box.agent.inspected
    assert set(running.actuator.verdicts) == set(range(1, running.box.agent.inspected + 1))


def test_renewals_lose_no_message_and_no_part_misses_its_verdict(
    site: Site, tmp_path: Path
) -> None:
    claim = tmp_path / "claim"
    claim.write_text(site.office.registrar.claim(BOX, 1.0).token)
    running = Running(site.settings("box", claim))
    wait_until(lambda: site.cloud.by("cloud") > 20, "the cloud decides")
    # The first parts came by before there was a certificate.
    early, serials = running.box.health.counts, set()
    keeper = running.transport.keeper
    for _ in range(10):
        held = keeper.credential()
        assert held is not None
        keeper._changed(keeper.renew(held))
        serials.add(held.serial)
        assert running.transport.connected
        site.hear_more()
    running.stop()
    assert len(serials) == 10
    late, unsent = running.box.health.counts, early.get("escalations_unsent", 0)
    assert late.get("escalations_unsent", 0) == unsent
    assert late.get("deadlines_missed", 0) == unsent
    assert len(site.cloud.rows) == running.box.agent.inspected
    assert site.cloud.by("cloud") == running.box.agent.inspected - unsent


def test_a_copied_box_is_noticed_and_both_are_held(site: Site, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.write_text(site.office.registrar.claim(BOX, 1.0).token)
    first = Running(site.settings("box", claim))
    wait_until(lambda: site.cloud.by("cloud") > 5, "the cloud decides")
    held = tmp_path / "copy" / "identity"
    held.mkdir(parents=True)
    for file in (tmp_path / "box" / "identity").iterdir():
        (held / file.name).write_bytes(file.read_bytes())
    second = Running(site.settings("copy", claim))
    wait_until(lambda: site.office.registrar.devices()[0].standing == "held", "the device is held")
    wait_until(
        lambda: not first.transport.connected and not second.transport.connected, "both are put out"
    )
    for running in (first, second):
        running.transport.keeper.step()
        assert any("two places" in problem for problem in running.box.health.problems)
        running.stop()


def test_a_restarted_box_is_not_taken_for_a_copy(site: Site, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.write_text(site.office.registrar.claim(BOX, 1.0).token)
    for _ in range(3):
        running = Running(site.settings("box", claim))
        site.hear_more()
        running.transport.keeper.step()
        running.stop()
    assert [device.standing for device in site.office.registrar.devices()] == ["active"]
