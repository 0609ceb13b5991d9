"""A broker tried once: it answers, or the reason is an error that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import TransportError
from shared.loopback import free_port
from shared.transport.mqtt import MqttTransport, tls_context
from shared.transport.probe import probe, probe_tls
from tests.support.brokers import Papers, at, listener, mosquitto, saying
from tests.support.waiting import wait_until

pytestmark = pytest.mark.process

PATIENCE_S = 15.0


def test_a_broker_that_answers_tells_its_limits(tmp_path: Path) -> None:
    with mosquitto(tmp_path, "max_packet_size 9000") as port:
        found = probe(at(port))
    assert found.expires is None
    assert found.limits is not None
    assert found.limits.packet == 9000


def test_who_is_connected_stays_connected(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as port:
        box = MqttTransport(at(port), "box")
        box.start()
        assert box.wait_until_connected(PATIENCE_S)
        changes: list[bool] = []
        box.on_connection(changes.append)
        probe(at(port))
        back: list[object] = []
        box.subscribe("a", back.append)
        box.publish("a", b"")
        wait_until(lambda: back, "its own message is back")
        assert changes == [True]
        box.stop()


def test_each_failure_is_an_error_with_what_to_do() -> None:
    port = free_port()
    with pytest.raises(TransportError, match=f"nothing listens on port {port}; start the broker"):
        probe(at(port))
    with pytest.raises(TransportError, match="no name of a host; check broker"):
        probe(at(port, host="plant..local"))
    with (
        listener(saying(b"\x20\x03\x00\x87\x00")) as refusing,
        pytest.raises(
            TransportError, match="the broker refuses us: not authorised; check the broker's ACL"
        ),
    ):
        probe(at(refusing))
    with listener(saying(b"")) as silent, pytest.raises(TransportError, match="nobody answers"):
        probe(at(silent, connect_timeout_s=0.3))
    with listener(lambda _: None) as closing, pytest.raises(TransportError, match="closes the"):
        probe(at(closing))


def test_certificates_are_tried_without_a_session(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    papers, other = Papers(tmp_path), Papers(tmp_path / "other")
    pem = papers.certificate("127.0.0.1")
    lines = [f"cafile {papers.path}", f"certfile {pem}", f"keyfile {pem}"]
    good = {"ca": str(papers.path), "certificate": str(papers.certificate("box"))}
    wrong = {"ca": str(papers.path), "certificate": str(other.certificate("box"))}
    with mosquitto(tmp_path, *lines, "require_certificate true") as port:
        expires = probe(at(port, tls=good)).expires
        assert expires is not None
        found = at(port, tls=good)
        assert found.tls is not None
        assert probe_tls(found, tls_context(found.tls)).expires == expires
        refused = at(port, tls=wrong)
        for _ in range(5):
            with pytest.raises(TransportError, match="authority of this side's certificate"):
                probe(refused)
