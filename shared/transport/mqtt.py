"""MQTT 5 through paho-mqtt."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import Field, SecretStr

from shared.errors import TransportError
from shared.log import get_logger
from shared.settings import Settings
from shared.transport.base import ConnectionHandler, Delivery, Handler, Will, require_size

log = get_logger("mqtt")

KEEPALIVE_S = 10
RECONNECT_S = (0.2, 5.0)
# Half of what paho would keep in memory for a broker that stops acknowledging.
MAX_IN_FLIGHT = 200


class TlsSettings(Settings):
    """Certificates for the connection to the broker."""

    ca: Path = Field(description="the authority that signed the broker's certificate, PEM")
    certificate: Path | None = Field(None, description="this side's certificate, PEM")
    key: Path | None = Field(None, description="this side's private key, PEM")


class BrokerSettings(Settings):
    """Where the broker is and who we are to it."""

    host: str = "127.0.0.1"
    port: int = Field(1883, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    tls: TlsSettings | None = None
    connect_timeout_s: float = Field(5.0, gt=0, le=60)


class ClientLoop(Protocol):
    """What moves a client's bytes and brings its connection back."""

    def start(self, client: paho.Client) -> None:
        """Connect as `connect_async` was told, and again after each loss. Returns at once."""

    def stop(self, client: paho.Client) -> None:
        """Write what waits, the goodbye among it, and let go of the client."""


class ThreadLoop:
    """paho's own thread, one for each client."""

    def start(self, client: paho.Client) -> None:
        # `loop_start` makes a new pair of sockets and forgets to close the one before it.
        client._reset_sockets(sockpair_only=True)  # noqa: SLF001
        client.loop_start()

    def stop(self, client: paho.Client) -> None:
        # paho's thread forgets itself when it ends, and `loop_stop` may be about to join it.
        with contextlib.suppress(AttributeError):
            client.loop_stop()


class MqttTransport:
    """A connection to an MQTT 5 broker that comes back by itself.

    Nagle's algorithm is off: with it, one QoS 1 exchange takes 80 ms even on loopback.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        client_id: str,
        loop: ClientLoop | None = None,
        *,
        context: ssl.SSLContext | None = None,
        session_s: int = 0,
    ) -> None:
        """loop: a ThreadLoop unless another is given, say one that many clients share.

        context     trust and identity, instead of those of settings.tls
        session_s   how long the broker keeps what arrives for us after a connection is lost
        """
        self._settings = settings
        self._session_s = session_s
        self._changing = False
        self._loop = loop or ThreadLoop()
        self._subscriptions: list[tuple[str, Handler]] = []
        self._watchers: list[ConnectionHandler] = []
        self._ready = threading.Event()
        self._renewed = threading.Event()
        self._stopped = False
        self._lock = threading.Lock()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        client.max_queued_messages_set(MAX_IN_FLIGHT)
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.connect_timeout = settings.connect_timeout_s
        client.reconnect_delay_set(*RECONNECT_S)  # type: ignore[arg-type]
        client.on_socket_open = _disable_nagle
        client.on_connect = self._connected
        client.on_connect_fail = self._connect_failed
        client.on_disconnect = self._disconnected
        client.on_message = self._arrived
        if settings.username is not None:
            secret = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, secret)
        if context is None and settings.tls is not None:
            context = tls_context(settings.tls)
        if context is not None:
            client.tls_set_context(context)
        self._client = client

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    def wait_until_connected(self, timeout_s: float) -> bool:
        return self._ready.wait(timeout_s)

    def start(self, will: Will | None = None) -> None:
        if will is not None:
            self._client.will_set(will.topic, will.payload, qos=1, retain=True)
        self._connect(clean_start=paho.MQTT_CLEAN_START_FIRST_ONLY)

    def reconnect(self) -> bool:
        """Connect anew, with what the TLS context holds now; whether that worked.

        What is published meanwhile is sent afterwards. With `session_s`, what arrives meanwhile
        waits at the broker. Call it from no handler.
        """
        if self._stopped:
            return False
        self._changing = self.connected
        self._renewed.clear()
        self._client.disconnect()
        self._loop.stop(self._client)
        self._connect(clean_start=False)
        well = self._renewed.wait(self._settings.connect_timeout_s)
        self._changing = False
        if not well and self.connected:
            self._lost("reconnecting takes too long")
        return well

    def stop(self, goodbye: Will | None = None) -> None:
        if self._stopped:
            return
        self._stopped = True
        if goodbye is not None and self.connected:
            info = self._client.publish(goodbye.topic, goodbye.payload, qos=1, retain=True)
            info.wait_for_publish(timeout=2.0)
        self._client.disconnect(properties=_session(PacketTypes.DISCONNECT, 0, self._session_s))
        self._loop.stop(self._client)
        self._ready.clear()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_s: float | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        if not self.connected:
            raise TransportError(
                f"the broker at {self._settings.host}:{self._settings.port} is not connected",
                fix="it is tried again until it answers; check that it runs",
            )
        require_size(payload)
        info = self._client.publish(
            topic,
            payload,
            qos=1,
            retain=retain,
            properties=_publish_properties(expires_s, properties),
        )
        if info.rc == paho.MQTT_ERR_QUEUE_SIZE:
            raise TransportError(
                f"{MAX_IN_FLIGHT} messages wait for the broker's acknowledgement",
                fix="the broker is too slow or stuck; check its load",
            )

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        with self._lock:
            self._subscriptions.append((topic_filter, handler))
            self._listen(_without_share(topic_filter))
            if self.connected:
                self._client.subscribe(topic_filter, qos=1)

    def unsubscribe(self, topic_filter: str) -> None:
        with self._lock:
            self._subscriptions = [one for one in self._subscriptions if one[0] != topic_filter]
            if self.connected:
                self._client.unsubscribe(topic_filter)
            self._listen(_without_share(topic_filter))

    def on_connection(self, handler: ConnectionHandler) -> None:
        self._watchers.append(handler)
        if self.connected:
            handler(True)

    def _listen(self, plain: str) -> None:
        """Call all who want what matches a filter, and nobody where none does.

        paho keeps one callback a filter: whoever subscribes next must not silence the first.
        """
        listeners = [h for f, h in self._subscriptions if _without_share(f) == plain]
        if listeners:
            self._client.message_callback_add(plain, _calling(listeners))
        else:
            self._client.message_callback_remove(plain)

    def _connected(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if reason.is_failure:
            log.error("broker_refused", reason=str(reason), **self._where)
            return
        with self._lock:
            for topic_filter in dict.fromkeys(wanted for wanted, _ in self._subscriptions):
                client.subscribe(topic_filter, qos=1)
            self._ready.set()
            self._renewed.set()
        log.info("broker_connected", **self._where)
        for watcher in self._watchers:
            watcher(True)

    def _connect_failed(self, _client: paho.Client, _data: Any) -> None:
        log.warning("broker_unreachable", **self._where, next_try_s=RECONNECT_S[1])

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if self._ready.is_set() and not self._changing:
            self._lost(str(reason))

    def _connect(self, *, clean_start: paho.CleanStartOption) -> None:
        self._client.connect_async(
            self._settings.host,
            self._settings.port,
            keepalive=KEEPALIVE_S,
            clean_start=clean_start,
            properties=_session(PacketTypes.CONNECT, self._session_s, self._session_s),
        )
        self._loop.start(self._client)

    def _lost(self, reason: str) -> None:
        self._ready.clear()
        if not self._stopped:
            log.warning("broker_lost", reason=reason, **self._where)
        for watcher in self._watchers:
            watcher(False)

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        log.warning("message_without_handler", topic=message.topic)

    @property
    def _where(self) -> dict[str, object]:
        return {"host": self._settings.host, "port": self._settings.port}


def _without_share(topic_filter: str) -> str:
    """The filter as topics match it; paho does not know that `$share/name/` is no part of it."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith("$share/") else topic_filter


def _disable_nagle(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tls_context(tls: TlsSettings) -> ssl.SSLContext:
    """Trust and identity for one connection. Raises TransportError for unusable files."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca))
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise TransportError(
            f"the certificates for the broker can't be loaded ({error})",
            fix="check broker.tls.ca, certificate and key",
        ) from error
    return context


def _session(packet: int, seconds: int, asked: int) -> Properties | None:
    """How long the session outlives the connection; None where none was asked for."""
    if not asked:
        return None
    packed = Properties(packet)  # type: ignore[no-untyped-call]
    packed.SessionExpiryInterval = seconds
    return packed


def _publish_properties(
    expires_s: float | None, properties: Mapping[str, str] | None
) -> Properties | None:
    if expires_s is None and not properties:
        return None
    packed = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expires_s is not None:
        packed.MessageExpiryInterval = max(1, round(expires_s))
    if properties:
        packed.UserProperty = list(properties.items())
    return packed


def _calling(handlers: Sequence[Handler]) -> Any:
    def call(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        pairs = getattr(message.properties, "UserProperty", ())
        delivery = Delivery(message.topic, bytes(message.payload), dict(pairs), message.retain)
        for handler in handlers:
            try:
                handler(delivery)
            except Exception:
                # An exception here would end paho's thread, and with it every later message.
                log.exception("handler_failed", topic=message.topic)

    return call
