"""Why there is no connection: each reason against real sockets, real TLS and a real Mosquitto."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.errors import TransportError
from shared.loopback import free_port
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.transport.reasons import of_code, of_error
from tests.support.brokers import Papers, at, listener, mosquitto, saying
from tests.support.waiting import wait_until

PATIENCE_S = 15.0


def told(settings: BrokerSettings, wanted: str = "") -> str:
    """What a client that starts says of its broker, in the end.

    wanted   is in it: an alert may be lost where a broker closes while we speak, not each time
    """
    device = MqttTransport(settings, "box")
    device.start()
    try:
        wait_until(
            lambda: "broker" in device.problems and wanted in device.problems["broker"],
            f"a reason is told: {wanted}",
        )
        assert not device.connected
        with pytest.raises(TransportError, match="not connected"):
            device.publish("a", b"")
        return device.problems["broker"]
    finally:
        device.stop()


@contextmanager
def quiet() -> Iterator[int]:
    """Takes connections, and says nothing for as long as it stands."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield int(server.getsockname()[1])


@pytest.mark.process
@pytest.mark.parametrize("host", ["plant..local", "x" * 64 + ".local"])
def test_a_name_that_is_none_is_told_and_ends_nothing(host: str) -> None:
    device = MqttTransport(at(1883, host=host), "box")
    device.start()
    wait_until(lambda: "broker" in device.problems, "a reason is told")
    assert device.problems["broker"] == f"{host!r} is no name of a host"
    # Its thread still tries.
    assert any(one.name.startswith("paho") for one in threading.enumerate())
    device.stop()


@pytest.mark.process
def test_a_name_that_is_not_found_is_told() -> None:
    assert "'nowhere.invalid'" in told(at(1883, host="nowhere.invalid"))


@pytest.mark.process
def test_a_port_on_which_nothing_listens_is_told() -> None:
    port = free_port()
    assert told(at(port)) == f"nothing listens on port {port}"


@pytest.mark.process
def test_a_port_that_is_open_and_silent_is_told() -> None:
    with quiet() as port:
        said = told(at(port, connect_timeout_s=0.5))
    assert said == f"port {port} is open, and nobody answers there as a broker does"


@pytest.mark.process
@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x90\x03\0\1\0"]
)
def test_what_answers_and_is_no_broker_is_told(greeting: bytes) -> None:
    with listener(saying(greeting)) as port:
        assert (
            told(at(port, connect_timeout_s=0.5))
            == f"what answers on port {port} is no MQTT 5 broker"
        )


@pytest.mark.process
def test_a_port_that_closes_at_once_is_told() -> None:
    with listener(lambda _: None) as port:
        assert told(at(port)) == f"port {port} is open, and closes the connection unheard"


@pytest.mark.process
def test_a_broker_of_an_older_mqtt_is_told() -> None:
    with listener(saying(b"\x20\x02\x00\x01")) as port:
        assert told(at(port)) == "the broker refuses us: it does not speak MQTT 5"


@pytest.mark.process
def test_a_refusal_is_told_by_its_reason() -> None:
    with listener(saying(b"\x20\x03\x00\x97\x00")) as port:
        assert told(at(port)) == "the broker refuses us: its quota for this client is used up"


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


def secured(papers: Papers, name: str = "127.0.0.1", days: float = 30) -> list[str]:
    pem = papers.certificate(name, days=days)
    return [f"cafile {papers.path}", f"certfile {pem}", f"keyfile {pem}"]


@pytest.mark.process
def test_tls_faults_are_told_apart(tmp_path: Path, papers: Papers) -> None:
    other = Papers(tmp_path, "stranger")
    ours = {"ca": str(papers.path)}
    with mosquitto(tmp_path, *secured(papers)) as port:
        device = MqttTransport(at(port, tls=ours), "box")
        device.start()
        assert device.wait_until_connected(PATIENCE_S)
        assert not device.problems
        device.stop()
        wrong = told(at(port, tls={"ca": str(other.path)}))
        assert wrong == "the broker's certificate is of another authority than ours"
        plain = told(at(port))
        assert plain.startswith((f"what answers on port {port}", f"port {port} is open"))
    with mosquitto(tmp_path, *secured(papers, days=-1)) as port:
        assert told(at(port, tls=ours)) == "the broker's certificate has expired"
    with mosquitto(tmp_path, *secured(papers, "broker.plant")) as port:
        said = told(at(port, tls=ours))
        assert said == "the broker's certificate is for another name than '127.0.0.1'"
    with mosquitto(tmp_path) as port:
        said = told(at(port, tls=ours))
        assert "does not speak TLS" in said or "within the TLS handshake" in said


@pytest.mark.process
def test_a_client_certificate_that_is_refused_is_told(tmp_path: Path, papers: Papers) -> None:
    other = Papers(tmp_path, "stranger")
    wants = [*secured(papers), "require_certificate true"]
    with mosquitto(tmp_path, *wants) as port:
        ours = str(papers.path)
        told(at(port, tls={"ca": ours}), "it wants a certificate of this side, and got none")
        theirs = str(other.certificate("box"))
        told(at(port, tls={"ca": ours, "certificate": theirs}), "authority of this side's")
        late = str(papers.certificate("box", days=-1))
        expired = "it takes this side's certificate for expired"
        told(at(port, tls={"ca": ours, "certificate": late}), expired)


@pytest.mark.process
def test_an_authority_that_was_made_anew_is_another(tmp_path: Path, papers: Papers) -> None:
    anew = Papers(tmp_path)
    with mosquitto(tmp_path, *secured(papers), "require_certificate true") as port:
        said = told(at(port, tls={"ca": str(anew.path)}))
        assert said == "the broker's certificate is of another authority than ours"
        tls = {"ca": str(papers.path), "certificate": str(anew.certificate("box"))}
        told(at(port, tls=tls), "authority of this side's certificate")


@pytest.mark.process
def test_a_tls_handshake_that_nobody_answers_is_told(papers: Papers) -> None:
    with quiet() as port:
        said = told(at(port, connect_timeout_s=0.5, tls={"ca": str(papers.path)}))
    assert said == "no answer in time to the TLS handshake"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError("timed out"), "no answer in time"),
        (OSError(113, "No route to host"), "there is no route to it"),
        (OSError(101, "Network is unreachable"), "there is no route to it"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "no name server answers for 'h'"),
        (ssl.SSLError(1, "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] x"), "TLS fails"),
        (ZeroDivisionError("odd"), "ZeroDivisionError: odd"),
    ],
)
def test_rarer_errors_have_a_reason_too(error: BaseException, text: str) -> None:
    assert of_error(error, "h", 1).text.startswith(text)


@pytest.mark.parametrize("code", range(0x80, 0x100))
def test_every_reason_code_is_a_sentence(code: int) -> None:
    assert of_code(code).text
