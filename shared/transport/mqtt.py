"""MQTT 5 through paho-mqtt."""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions
from pydantic import Field, SecretStr

from shared.errors import TransportError
from shared.log import get_logger
from shared.loopback import shown
from shared.settings import Settings
from shared.transport.base import ConnectionHandler, Delivery, Handler, Will, require_size
from shared.transport.client import MAX_IN_FLIGHT, STALE_S, BrokerClient
from shared.transport.limit import BrokerLimits, LearnedSize
from shared.transport.problems import LinkProblems
from shared.transport.reasons import ClosedEarly, ClosedInHandshake, of_code, of_error

log = get_logger("mqtt")

KEEPALIVE_S = 10
FLAPS = 3
MAX_ABOUT = 120
MAX_DENIED = 1000
# More than a topic and properties of ours take.
SURELY = 4096
# Reason codes of MQTT 5; from FAILURE on they are failures.
_CLOSED = (ClosedEarly, ClosedInHandshake, ConnectionResetError, BrokenPipeError)
FAILURE, TOO_LARGE, NO_RETAIN, NO_QUALITY = 0x80, 0x95, 0x9A, 0x9B


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
        client.loop_start()

    def stop(self, client: paho.Client) -> None:
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
        patience_s: float = math.inf,
        in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """loop: a ThreadLoop unless another is given, say one that many clients share.

        context      trust and identity, instead of those of settings.tls
        session_s    how long the broker keeps what arrives for us after a connection is lost
        patience_s   a connection on which nothing is acknowledged for so long is given up, with
                     all that waits in it: for what is worth nothing later
        in_flight    messages that are given to the network before the first is acknowledged
        """
        self._settings = settings
        self._session_s = session_s
        self._in_flight = in_flight
        self._changing = False
        self._loop = loop or ThreadLoop()
        self._subscriptions: list[tuple[str, Handler]] = []
        self._others_only: set[str] = set()
        self._denied: set[str] = set()
        self._asked: dict[int | None, str] = {}
        self._watchers: list[ConnectionHandler] = []
        self._ready = threading.Event()
        self._renewed = threading.Event()
        self._stopped = False
        self._lock = threading.Lock()
        self._since = -math.inf
        self._limits = BrokerLimits()
        self._distrust: ssl.SSLError | None = None
        self._learned = LearnedSize(time.monotonic)
        self._found = LinkProblems(time.monotonic)
        client = open_client(settings, client_id, context)
        client.patience_s = patience_s
        client.limit_in_flight(in_flight)
        client.on_connect = self._connected
        client.on_connect_fail = lambda _client, _data: self._not_connected()
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        client.acknowledged = self._acknowledged
        client.unreadable = self._unreadable
        self._client = client

    @property
    def connected(self) -> bool:
        return self._ready.is_set()

    @property
    def limits(self) -> BrokerLimits:
        """What the broker said when it took us the last time."""
        return self._limits

    @property
    def max_payload(self) -> int:
        return int(min(self._limits.payload, self._learned.payload))

    @property
    def problems(self) -> Mapping[str, str]:
        return self._found.now

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
        self._changing = self._client.keeps = self.connected
        self._renewed.clear()
        self._client.disconnect()
        self._loop.stop(self._client)
        self._connect(clean_start=False)
        well = self._renewed.wait(self._settings.connect_timeout_s)
        self._changing = self._client.keeps = False
        if not well and self.connected:
            self._lost("reconnecting takes too long")
        return well

    def stop(self, goodbye: Will | None = None) -> None:
        if self._stopped:
            return
        self._stopped = True
        if goodbye is not None and self.connected:
            self._client.say_goodbye(
                goodbye.topic, goodbye.payload, qos=self._quality, retain=self._limits.retains
            )
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
                f"the broker at {shown(self._settings.host, self._settings.port)} is not connected",
                fix="it is tried again until it answers; check that it runs",
            )
        if self._client.unheard:
            raise TransportError(
                f"the broker has acknowledged nothing for {self._client.unacknowledged_s:.1f} s",
                fix="check its load, and the network to it",
            )
        require_size(payload)
        if len(payload) + SURELY > self.max_payload:
            self._require_taken(topic, payload, properties, expires=expires_s is not None)
        info = self._client.send(
            topic,
            payload,
            qos=self._quality,
            retain=retain and self._limits.retains,
            properties=_publish_properties(expires_s, properties),
            # What expires tells a time that would be wrong by then: it is never said again.
            lasts_s=STALE_S if expires_s is None else 0.0,
        )
        if info.rc == paho.MQTT_ERR_QUEUE_SIZE:
            raise TransportError(
                f"{MAX_IN_FLIGHT} messages wait for the broker's acknowledgement",
                fix="the broker is too slow or stuck; check its load",
            )

    def subscribe(self, topic_filter: str, handler: Handler, *, own: bool = True) -> None:
        with self._lock:
            if not own:
                self._others_only.add(topic_filter)
            self._subscriptions.append((topic_filter, handler))
            self._listen(_without_share(topic_filter))
            if self.connected:
                self._ask(topic_filter)

    def unsubscribe(self, topic_filter: str) -> None:
        with self._lock:
            self._subscriptions = [one for one in self._subscriptions if one[0] != topic_filter]
            if self.connected:
                self._client.unsubscribe(topic_filter)
            self._listen(_without_share(topic_filter))

    def on_connection(self, handler: ConnectionHandler) -> None:
        with self._lock:
            self._watchers.append(handler)
            already = self.connected
        if already:
            handler(True)

    @property
    def _quality(self) -> int:
        return min(1, self._limits.qos)

    def _listen(self, plain: str) -> None:
        """Call all who want what matches a filter, and nobody where none does.

        paho keeps one callback a filter: whoever subscribes next must not silence the first.
        """
        listeners = [h for f, h in self._subscriptions if _without_share(f) == plain]
        if listeners:
            self._client.message_callback_add(plain, _calling(listeners))
        else:
            self._client.message_callback_remove(plain)

    @property
    def _where(self) -> dict[str, object]:
        return {"host": self._settings.host, "port": self._settings.port}

    def _connect(self, *, clean_start: paho.CleanStartOption) -> None:
        self._client.connect_async(
            self._settings.host,
            self._settings.port,
            keepalive=KEEPALIVE_S,
            clean_start=clean_start,
            properties=_session(PacketTypes.CONNECT, self._session_s, self._session_s),
        )
        self._loop.start(self._client)

    def _connected(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, props: Any
    ) -> None:
        if reason.is_failure:
            self._client.goodbye = reason.value
            if reason.value in {NO_RETAIN, NO_QUALITY} and client.will_topic is not None:
                # It refuses our will, and would for ever: next time it is one that it can have.
                client.will_set(client.will_topic, client.will_payload)
            return
        self._limits = BrokerLimits.of(props)
        self._client.limit_in_flight(min(self._in_flight, self._limits.in_flight))
        self._client.forget(larger_than=self._learned.refused - 1)
        with self._lock:
            self._asked.clear()
            for topic_filter in dict.fromkeys(wanted for wanted, _ in self._subscriptions):
                self._ask(topic_filter)
            self._since = time.monotonic()
            self._ready.set()
            self._renewed.set()
            watchers = list(self._watchers)
        self._distrust = None
        self._found.solve("broker")
        self._found.agree(self._limits.shortcomings)
        log.info("broker_connected", **self._where)
        _tell(watchers, connected=True)

    def _disconnected(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if not self._ready.is_set():
            self._not_connected()
        elif not self._changing:
            self._lost(str(reason))

    def _not_connected(self) -> None:
        """A try to connect has failed, or the broker has refused us."""
        if self._stopped:
            return
        failure, code = self._client.failure or ClosedEarly("closed"), self._client.goodbye
        if isinstance(failure, ssl.SSLError):
            self._distrust = failure
        elif isinstance(failure, _CLOSED) and self._distrust is not None:
            # The same again: its alert was lost, as happens where it closes while we speak.
            failure = self._distrust
        reason = of_error(failure, self._settings.host, self._settings.port)
        event, text = "broker_unreachable", reason.text
        if code is not None:
            reason = of_code(code)
            event, text = "broker_refused", f"the broker refuses us: {reason.text}"
        self._found.meet(
            "broker", text, fix=reason.fix, lasts_s=math.inf, event=event, **self._where
        )

    def _lost(self, reason: str) -> None:
        with self._lock:
            self._ready.clear()
            watchers = list(self._watchers)
        code, failure = self._client.goodbye, self._client.failure
        if code:
            said = of_code(code)
            reason = said.text
            self._found.meet("broker ended", f"it ended the connection: {reason}", fix=said.fix)
            if code == TOO_LARGE:
                self._learned.refuse(self._client.largest_unacknowledged)
        elif failure is not None and not isinstance(failure, ClosedEarly):
            reason = of_error(failure, self._settings.host, self._settings.port).text
        self._client.backoff.lived(time.monotonic() - self._since)
        if self._client.backoff.short_lives >= FLAPS:
            self._found.meet(
                "broker flaps",
                f"the connection is lost again and again ({reason})",
                fix="check the network, and whether another client uses this one's name",
            )
        if not self._stopped and self._client.backoff.short_lives <= FLAPS:
            log.warning("broker_lost", reason=reason, **self._where)
        _tell(watchers, connected=False)

    def _ask(self, topic_filter: str) -> None:
        options = SubscribeOptions(self._quality, noLocal=topic_filter in self._others_only)
        _, number = self._client.subscribe(topic_filter, options=options)
        self._asked[number] = topic_filter

    def _subscribed(
        self, _client: paho.Client, _data: Any, number: int, codes: list[ReasonCode], _props: Any
    ) -> None:
        topic_filter = self._asked.pop(number, "?")
        about = f"subscription {topic_filter}"[:MAX_ABOUT]
        refused = next((code.value for code in codes if code.is_failure), None)
        if refused is None:
            self._found.solve(about)
        else:
            reason = of_code(refused)
            text = f"the broker refuses the subscription: {reason.text}"
            self._found.meet(about, text, fix=reason.fix, lasts_s=math.inf)

    def _acknowledged(self, topic: str, size: int, code: int) -> None:
        if code < FAILURE:
            self._learned.taken(size)
            if topic in self._denied:
                self._denied.discard(topic)
                self._found.solve(f"topic {topic}"[:MAX_ABOUT])
            return
        about, reason = f"topic {topic}"[:MAX_ABOUT], of_code(code)
        if len(self._denied) < MAX_DENIED:
            self._denied.add(topic)
        if code == TOO_LARGE:
            self._learned.refuse(size)
        self._found.meet(about, f"the broker refuses a message: {reason.text}", fix=reason.fix)

    def _require_taken(
        self, topic: str, payload: bytes, properties: Mapping[str, str] | None, *, expires: bool
    ) -> None:
        try:
            self._limits.require_taken(
                topic,
                payload,
                expires=expires,
                properties=properties,
                refused=self._learned.refused,
            )
        except TransportError as error:
            about = f"size {topic}"[:MAX_ABOUT]
            # The sizes differ from message to message, and are told to who sent it.
            text = f"a message is larger than the {self.max_payload} B that the broker takes"
            self._found.meet(about, text, fix=error.fix)
            raise

    def _unreadable(self, topic: str, error: BaseException) -> None:
        self._found.meet(
            "unreadable",
            f"a message on {topic[:MAX_ABOUT]!r} can't be read, and is left out",
            fix="clear what is retained there, and see who published it",
        )
        log.debug("message_unreadable", topic=topic[:MAX_ABOUT], error=str(error))

    def _arrived(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        log.warning("message_without_handler", topic=message.topic)


def _tell(watchers: Sequence[ConnectionHandler], *, connected: bool) -> None:
    for watcher in watchers:
        try:
            watcher(connected)
        except Exception:
            # An exception here would end the connection, and with it every later message.
            log.exception("watcher_failed", connected=connected)


def _without_share(topic_filter: str) -> str:
    """The filter as topics match it; paho does not know that `$share/name/` is no part of it."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith("$share/") else topic_filter


def _disable_nagle(_client: paho.Client, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def open_client(
    settings: BrokerSettings, client_id: str, context: ssl.SSLContext | None
) -> BrokerClient:
    """A client that knows who it is, and has not connected. Raises TransportError as `tls_context`.

    context   trust and identity, instead of those of settings.tls
    """
    client = BrokerClient(client_id, connect_timeout_s=settings.connect_timeout_s)
    client.on_socket_open = _disable_nagle
    if settings.username is not None:
        secret = settings.password.get_secret_value() if settings.password else None
        client.username_pw_set(settings.username, secret)
    if context is None and settings.tls is not None:
        context = tls_context(settings.tls)
    if context is not None:
        client.tls_set_context(context)
    return client


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
