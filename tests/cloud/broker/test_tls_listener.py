"""The broker's second listener, on a real Mosquitto with the fleet's certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cloud.broker.embedded import EmbeddedBroker
from cloud.broker.programs import Mosquitto
from cloud.broker.tls_listener import SecureListener
from cloud.configuration.settings import SecureListenerSettings
from fleet.identity.authority import Authority
from fleet.identity.requests import read_request
from shared.clock import SystemClock
from shared.descriptors import open_files
from shared.errors import ProcessError, SettingsError, TransportError
from shared.loopback import bind, free_port
from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport, TlsSettings, tls_context
from tests.fleet.identity.rigs import Office, open_office, request_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_S = 15.0
PROMISED_S = 60.0
ONE, TWO = Address("plant", "line", "box-1"), Address("plant", "line", "box-2")


@dataclass
class Plant:
    """A broker with both listeners, and the cloud on the plain one."""

    folder: Path
    office: Office
    broker: EmbeddedBroker
    secure: SecureListenerSettings
    cloud: MqttTransport
    heard: list[Delivery] = field(default_factory=list)
    devices: list[MqttTransport] = field(default_factory=list)

    def device(self, address: Address, authority: Authority | None = None) -> MqttTransport:
        """A device with a certificate, of this fleet's authority or of another."""
        pem = self.certificate(address, authority)
        return self.connecting({"ca": self.office.ca, "certificate": pem})

    def certificate(self, address: Address, authority: Authority | None = None) -> Path:
        """A file with its key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = read_request(request_of(address.device, key))
        if authority is None:
            token = self.office.registrar.claim(address, 1.0).token
            certificate = self.office.registrar.enrol(token, request)
        else:
            certificate = authority.issue(request, 90)
        pem = self.folder / f"{certificate.serial_number:x}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        return pem

    def connecting(self, tls: Mapping[str, object] | None) -> MqttTransport:
        settings = {"host": self.secure.host, "port": self.secure.port, "tls": tls}
        # By its certificate a device is known, whatever it calls itself.
        device = MqttTransport(BrokerSettings.model_validate(settings), f"me-{len(self.devices)}")
        self.devices.append(device)
        device.start()
        return device

    def connected(self, address: Address) -> MqttTransport:
        device = self.device(address)
        assert device.wait_until_connected(PATIENCE_S)
        return device

    def payloads(self, topic: str) -> list[bytes]:
        return [delivery.payload for delivery in self.heard if delivery.topic == topic]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    if Mosquitto().found() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    with open_office(tmp_path / "fleet", SystemClock()) as office:
        files = office.authority.files
        secure = SecureListenerSettings(
            port=free_port(),
            ca=files.certificate,
            certificate=files.server_certificate,
            key=files.server_key,
            crl=files.revoked,
        )
        with EmbeddedBroker("mosquitto", port=free_port(), secure=secure) as broker:
            cloud = MqttTransport(BrokerSettings.model_validate({"port": broker.port}), "cloud")
            built = Plant(tmp_path, office, broker, secure, cloud)
            cloud.subscribe("splitsight/v1/#", built.heard.append)
            cloud.start()
            assert cloud.wait_until_connected(PATIENCE_S)
            yield built
            for client in (*built.devices, cloud):
                client.stop()


def heard(plant: Plant, device: MqttTransport, topic: str) -> bool:
    """Whether what a device says there arrives. Its last word, on its own topic, surely does."""
    device.publish(topic, b"said")
    device.publish(ONE.topic("reply"), b"last")
    wait_until(lambda: b"last" in plant.payloads(ONE.topic("reply")), "the last message came")
    return b"said" in plant.payloads(topic)


def test_a_device_is_heard_on_its_own_topics(plant: Plant) -> None:
    assert heard(plant, plant.connected(ONE), ONE.topic("state"))


@pytest.mark.parametrize("topic", [TWO.topic("state"), "splitsight/v1/all", "$SYS/x", "elsewhere"])
def test_a_device_is_not_heard_on_others_topics(plant: Plant, topic: str) -> None:
    plant.cloud.subscribe(topic, plant.heard.append)
    assert not heard(plant, plant.connected(ONE), topic)


def test_a_device_reads_its_own_topics_alone(plant: Plant) -> None:
    device = plant.connected(ONE)
    read: list[str] = []
    for wanted in ("#", "splitsight/v1/#", TWO.topic("verdict"), ONE.topic("verdict")):
        device.subscribe(wanted, lambda delivery: read.append(delivery.topic))

    def own_arrived() -> bool:
        # Subscribing takes its time: what is said before is not delivered.
        plant.cloud.publish(TWO.topic("verdict"), b"for two")
        plant.cloud.publish(ONE.topic("verdict"), b"for one")
        return ONE.topic("verdict") in read

    wait_until(own_arrived, "our own message is back")
    wait_until(own_arrived, "our own message is back")
    assert set(read) == {ONE.topic("verdict")}


def test_no_certificate_and_one_of_another_authority_are_refused(
    plant: Plant, tmp_path: Path
) -> None:
    rogue = Authority.create(tmp_path / "rogue", ["127.0.0.1"], SystemClock())
    strangers = [
        plant.connecting({"ca": plant.office.ca}),
        plant.connecting(None),
        plant.device(ONE, rogue),
    ]
    # One that may come in does, while they are still trying.
    plant.connected(TWO)
    assert not any(stranger.wait_until_connected(1.0) for stranger in strangers)


def test_a_server_certificate_is_no_device(plant: Plant) -> None:
    files = plant.office.authority.files
    tls = {
        "ca": files.certificate,
        "certificate": files.server_certificate,
        "key": files.server_key,
    }
    assert not plant.connecting(tls).wait_until_connected(1.0)


def test_a_revoked_device_is_out_within_a_minute_and_others_lose_nothing(plant: Plant) -> None:
    one, two = plant.connected(ONE), plant.connected(TWO)
    losses: list[bool] = []
    two.on_connection(losses.append)
    sent: list[bytes] = []
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(0.005):
            payload = str(len(sent)).encode()
            two.publish(TWO.topic("escalation"), payload)
            sent.append(payload)

    speaking = threading.Thread(target=speak)
    speaking.start()
    one.publish(ONE.topic("state"), b"before")
    wait_until(lambda: bool(plant.payloads(ONE.topic("state"))), "a state")

    plant.office.registrar.revoke(ONE.device, "stolen")
    took = wait_until(lambda: not one.connected, "the first is put out", within_s=PROMISED_S)
    assert took < PROMISED_S
    assert not one.wait_until_connected(3.0)
    with pytest.raises(TransportError):
        one.publish(ONE.topic("state"), b"after")

    stop.set()
    speaking.join()
    wait_until(lambda: plant.payloads(TWO.topic("escalation")) == sent, "every escalation came")
    assert len(sent) > 100
    assert False not in losses
    assert plant.payloads(ONE.topic("state")) == [b"before"]


def test_a_denied_device_whose_connection_lives_on_is_not_heard(plant: Plant) -> None:
    """The ACL alone: the list names it, its certificate is not revoked."""
    one = plant.connected(ONE)
    plant.office.authority.publish((), [ONE.device])

    def silent() -> bool:
        if not one.connected:
            return False
        before = len(plant.payloads(ONE.topic("reply")))
        one.publish(ONE.topic("reply"), b"hello")
        threading.Event().wait(0.2)
        return len(plant.payloads(ONE.topic("reply"))) == before

    wait_until(silent, "it is not heard", within_s=PROMISED_S)


def test_a_second_revocation_counts_as_the_first_did(plant: Plant) -> None:
    one, two = plant.connected(ONE), plant.connected(TWO)
    plant.office.registrar.revoke(ONE.device, "stolen")
    wait_until(lambda: not one.connected, "the first is put out", within_s=PROMISED_S)
    plant.office.registrar.revoke(TWO.device, "stolen too")
    wait_until(lambda: not two.connected, "the second is put out", within_s=PROMISED_S)
    assert not one.wait_until_connected(1.0)
    assert not two.wait_until_connected(1.0)


def test_a_readmitted_device_is_heard_again(plant: Plant) -> None:
    old = plant.connected(ONE)
    plant.office.registrar.revoke(ONE.device, "stolen")
    wait_until(lambda: not old.connected, "the old one is put out", within_s=PROMISED_S)
    token = plant.office.registrar.readmit(ONE.device, 1.0).token
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = plant.office.registrar.enrol(token, read_request(request_of(ONE.device, key)))
    pem = plant.folder / "again.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    new = plant.connecting({"ca": plant.office.ca, "certificate": pem})
    assert new.wait_until_connected(PATIENCE_S)

    def arrives() -> bool:
        # The broker reads the list once a second.
        if new.connected:
            new.publish(ONE.topic("state"), b"back")
        return b"back" in plant.payloads(ONE.topic("state"))

    wait_until(arrives, "it arrives", within_s=PROMISED_S)
    assert not old.connected


# CONNECT of MQTT 5: no properties, 60 seconds of keepalive, and a name that the broker overrules.
CONNECT = b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02me"
CONNACK = 0x20


def test_who_had_shown_its_certificate_before_and_says_its_name_after_is_put_out_too(
    plant: Plant,
) -> None:
    context = tls_context(TlsSettings.model_validate({"ca": plant.office.ca}))
    # In 1.3 a client does not learn when its certificate has been looked at.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(plant.certificate(ONE))
    address = ("127.0.0.1", plant.secure.port)
    with (
        socket.create_connection(address, timeout=PROMISED_S) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as late,
    ):
        witness = plant.connected(TWO)
        plant.office.registrar.revoke(ONE.device, "stolen")
        plant.office.registrar.revoke(TWO.device, "stolen")
        wait_until(lambda: not witness.connected, "the list is read", within_s=PROMISED_S)
        late.sendall(CONNECT)
        assert late.recv(64)[0] == CONNACK
        while late.recv(64):
            pass


def test_a_connection_that_a_new_certificate_loses_is_told(plant: Plant, tmp_path: Path) -> None:
    context = tls_context(TlsSettings.model_validate({"ca": plant.office.ca}))
    rogue = Authority.create(tmp_path / "rogue", ["127.0.0.1"], SystemClock())
    good, bad = plant.certificate(ONE), plant.certificate(ONE, rogue)
    context.load_cert_chain(good)
    settings = {"port": plant.secure.port, "connect_timeout_s": 1.0}
    broker = BrokerSettings.model_validate(settings)
    device = MqttTransport(broker, "me", context=context, session_s=30)
    plant.devices.append(device)
    device.start()
    assert device.wait_until_connected(PATIENCE_S)
    assert device.reconnect()
    turns: list[bool] = []
    device.on_connection(turns.append)
    context.load_cert_chain(bad)
    assert not device.reconnect()
    assert not device.connected
    assert turns[-1] is False
    context.load_cert_chain(good)
    assert device.wait_until_connected(PATIENCE_S)


def test_what_is_said_to_a_device_while_it_reconnects_arrives_afterwards(plant: Plant) -> None:
    context = tls_context(TlsSettings.model_validate({"ca": plant.office.ca}))
    context.load_cert_chain(plant.certificate(ONE))
    broker = BrokerSettings.model_validate({"port": plant.secure.port})
    device = MqttTransport(broker, "me", context=context, session_s=30)
    plant.devices.append(device)
    heard: set[bytes] = set()
    device.subscribe(ONE.topic("verdict"), lambda delivery: heard.add(delivery.payload))
    device.start()
    assert device.wait_until_connected(PATIENCE_S)

    def ready() -> bool:
        plant.cloud.publish(ONE.topic("verdict"), b"ready")
        return b"ready" in heard

    wait_until(ready, "the listener is ready")
    sent: list[bytes] = []
    stop = threading.Event()

    def speak() -> None:
        while not stop.wait(0.001):
            sent.append(str(len(sent)).encode())
            plant.cloud.publish(ONE.topic("verdict"), sent[-1])

    speaking = threading.Thread(target=speak)
    speaking.start()
    for _ in range(20):
        assert device.reconnect()
    stop.set()
    speaking.join()
    assert len(sent) > 20
    wait_until(lambda: heard >= set(sent), "all that was sent is heard")


def test_iotcore_cannot_be_secured(plant: Plant) -> None:
    secure = plant.secure.model_copy(update={"port": free_port()})
    with pytest.raises(SettingsError, match="needs mosquitto"):
        EmbeddedBroker("iotcore", port=free_port(), secure=secure).start()


def test_a_missing_file_is_named(plant: Plant, tmp_path: Path) -> None:
    secure = plant.secure.model_copy(update={"crl": tmp_path / "nowhere", "port": free_port()})
    with pytest.raises(SettingsError, match=r"secure\.crl.*nowhere.*fleet init"):
        EmbeddedBroker("mosquitto", port=free_port(), secure=secure).start()


def test_a_taken_secure_port_is_said_at_once(plant: Plant) -> None:
    with bind("127.0.0.1", 0, setting="x") as taken:
        taken.listen()
        secure = plant.secure.model_copy(update={"port": taken.getsockname()[1]})
        with pytest.raises(ProcessError, match=r"taken.*embedded_broker\.secure"):
            EmbeddedBroker("mosquitto", port=free_port(), secure=secure).start()


def test_strangers_never_get_the_open_files_that_the_cloud_needs(plant: Plant) -> None:
    told = SecureListener(plant.secure).configured(plant.folder)
    assert f"\nmax_connections {max(16, open_files() - 128)}\n" in told
