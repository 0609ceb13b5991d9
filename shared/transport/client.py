"""paho's client, which nothing that comes from a broker can end."""

from __future__ import annotations

import contextlib
import math
import random
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, _ConnectionState
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from shared.log import get_logger
from shared.transport.backoff import Backoff
from shared.transport.reasons import ClosedEarly, ClosedInHandshake, NoAnswer, NoBroker

log = get_logger("mqtt")

# Half of what paho would keep in memory for a broker that stops acknowledging.
MAX_IN_FLIGHT = 200
STALE_S = 2.0
"""What was said longer ago is not said again, as if it were new, over the next connection."""
RECONNECT_S = (0.2, 5.0)
UNREACHABLE_S = 2.5
UNSTEADY_S = 20.0
JOIN_S = 10.0
GOODBYE_S = 2.0
MIN_PUBACK = 3
_ABORT = struct.pack("ii", 1, 0)
_BEFORE = frozenset({paho.CONNACK, paho.DISCONNECT})


class BrokerClient(paho.Client):
    """An MQTT 5 client that survives what it can't read, and keeps nothing stale.

    failure        why the last try to connect, or the last connection, ended; None: it has not
    goodbye        the reason code of the broker's DISCONNECT; None: there was none
    keeps          what is not acknowledged is kept for the next connection, however old it is
    patience_s     a connection on which nothing is acknowledged for so long is given up
    acknowledged   called with a message's topic and size and the reason code that it got
    unreadable     called with the topic of a message that can't be read, as far as it is known
    """

    def __init__(self, client_id: str, *, connect_timeout_s: float) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self.max_queued_messages_set(MAX_IN_FLIGHT)
        self.max_inflight_messages_set(MAX_IN_FLIGHT)
        self.connect_timeout = connect_timeout_s
        self.backoff = Backoff(
            RECONNECT_S[0],
            UNREACHABLE_S,
            UNSTEADY_S,
            random.Random(),  # noqa: S311 - jitter
        )
        self.failure: BaseException | None = None
        self.goodbye: int | None = None
        self.keeps = False
        self.patience_s = math.inf
        self.acknowledged: Callable[[str, int, int], None] = lambda _topic, _size, _code: None
        self.unreadable: Callable[[str, BaseException], None] = lambda _topic, _error: None
        self._begun_at = math.inf
        self._born: dict[int, tuple[float, float]] = {}
        self._leaving = threading.Event()

    # -- connecting

    def reconnect(self) -> MQTTErrorCode:
        """As paho's, but whatever goes wrong is an OSError, since anything else ends its thread."""
        self.failure = self.goodbye = None
        self.forget()
        self._begun_at = time.monotonic()
        try:
            return super().reconnect()
        except OSError as error:
            cut = isinstance(error, ConnectionResetError | BrokenPipeError)
            self.failure = ClosedInHandshake(str(error)) if cut and self._ssl else error
            raise
        except Exception as error:
            # The name of a host that IDNA refuses raises UnicodeError, for one.
            self.failure = error
            raise ConnectionError(str(error)) from error

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """As paho's, but a handshake that fails leaves no socket open."""
        context = self._ssl_context
        if context is None:
            raise ValueError("there is no TLS context")
        with contextlib.ExitStack() as failing:
            failing.callback(tcp_sock.close)
            secured = context.wrap_socket(
                tcp_sock, server_hostname=self._host, do_handshake_on_connect=False
            )
            failing.callback(secured.close)
            secured.settimeout(self.connect_timeout)
            secured.do_handshake()
            failing.pop_all()
        return secured

    def loop_start(self) -> MQTTErrorCode:
        self._leaving.clear()
        if self._thread is not None:
            # The one before still waits, for a name server say, and goes on.
            self._thread_terminate = False
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        # `loop_start` makes a new pair of sockets and forgets to close the one before it.
        self._reset_sockets(sockpair_only=True)
        return super().loop_start()

    def loop_stop(self) -> MQTTErrorCode:
        """As paho's, but it does not wait for a name server for ever."""
        self._leaving.set()
        thread = self._thread
        self._thread_terminate = True
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_S)
            if thread.is_alive():
                log.error("thread_does_not_end", thread=thread.name, waited_s=JOIN_S)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def let_go(self) -> None:
        """Close what is open, where no thread did it."""
        self._reset_sockets()

    def loop_misc(self) -> MQTTErrorCode:
        """Once a second or more often: end what leads nowhere."""
        now = time.monotonic()
        if self._state == _ConnectionState.MQTT_CS_CONNECTING and self._sock is not None:
            if now - self._begun_at > self.connect_timeout:
                heard = self._in_packet["command"] != 0
                self.failure = NoBroker("no packet") if heard else NoAnswer("no CONNACK")
                return self._give_up()
        elif self.unheard and self._sock is not None:
            self.failure = TimeoutError("no acknowledgement in time")
            self.abort()
            return self._give_up()
        return super().loop_misc()

    def abort(self) -> None:
        """Let the kernel throw away what it has not sent, where the socket is closed next."""
        sock: Any = self._sock
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def _give_up(self) -> MQTTErrorCode:
        return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)

    def _reconnect_wait(self) -> None:
        self._leaving.wait(self.backoff.wait_s())

    # -- what is under way

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        properties: Properties | None,
        lasts_s: float,
    ) -> paho.MQTTMessageInfo:
        """As `publish`; lasts_s: after a loss it is sent again only for so long."""
        now = time.monotonic()
        if len(self._out_packet) >= MAX_IN_FLIGHT:
            # At QoS 0 paho would take as many as come.
            info = paho.MQTTMessageInfo(0)
            info.rc = MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
            return info
        with self._out_message_mutex:
            info = self.publish(topic, payload, qos, retain, properties)
            if info.mid in self._out_messages:
                self._born[info.mid] = (now, now + lasts_s)
        return info

    @property
    def unacknowledged_s(self) -> float:
        """For how long the oldest message has waited for its acknowledgement."""
        with self._out_message_mutex:
            oldest = next(iter(self._out_messages), None)
            now = time.monotonic()
            return 0.0 if oldest is None else now - self._born.get(oldest, (now, now))[0]

    @property
    def unheard(self) -> bool:
        """Whether nothing was acknowledged for longer than its patience lasts."""
        return not math.isinf(self.patience_s) and self.unacknowledged_s > self.patience_s

    def limit_in_flight(self, count: int) -> None:
        """As the broker wants it. paho's own setter refuses while there is a connection."""
        self._max_inflight_messages = min(count, MAX_IN_FLIGHT)

    def forget(self, larger_than: float = math.inf) -> None:
        """Drop what is too old to be said again, or too large."""
        now = time.monotonic()
        with self._out_message_mutex:
            for mid, message in list(self._out_messages.items()):
                over = not self.keeps and now > self._born.get(mid, (now, now))[1]
                if over or len(message.payload) > larger_than:
                    del self._out_messages[mid]
                    message.info.rc = MQTTErrorCode.MQTT_ERR_CONN_LOST
                    message.info._set_as_published()  # noqa: SLF001
            self._born = {
                mid: born for mid, born in self._born.items() if mid in self._out_messages
            }
            self._inflight_messages = sum(
                m.state == paho.mqtt_ms_wait_for_puback for m in self._out_messages.values()
            )

    @property
    def largest_unacknowledged(self) -> int:
        """Bytes of payload."""
        with self._out_message_mutex:
            return max((len(m.payload) for m in self._out_messages.values()), default=0)

    def say_goodbye(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish, and wait a moment until it is acknowledged."""
        info = self.publish(topic, payload, qos, retain)
        # Lost meanwhile, it raises; then the broker says what the will says.
        with contextlib.suppress(RuntimeError, ValueError):
            info.wait_for_publish(timeout=GOODBYE_S)

    # -- what comes

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            data = super()._sock_recv(bufsize)
        except BlockingIOError:
            raise
        except OSError as error:
            # paho only logs it, and TLS refuses a certificate as late as here.
            self.failure = self.failure or error
            raise
        if not data and self.failure is None:
            self.failure = ClosedEarly("closed")
        return data

    def _packet_handle(self) -> MQTTErrorCode:
        command = self._in_packet["command"] & 0xF0
        if self._state == _ConnectionState.MQTT_CS_CONNECTING and command not in _BEFORE:
            self.failure = NoBroker("no CONNACK")
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        try:
            return super()._packet_handle()
        except Exception as error:  # noqa: BLE001 - paho's own end its thread
            return self._survive(bytes(self._in_packet["packet"]), error)

    def _survive(self, packet: bytes, error: Exception) -> MQTTErrorCode:
        """What came can't be read: it costs itself, or the connection where that can't be."""
        first = self._in_packet["command"]
        match first & 0xF0:
            case paho.PUBLISH:
                return self._skip_message(packet, first, error)
            case paho.PUBACK if len(packet) >= MIN_PUBACK:
                return self._take_acknowledgement(packet)
            case paho.SUBACK:
                log.warning("subscription_answer_unreadable", error=str(error))
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            case paho.DISCONNECT if packet:
                self.goodbye = packet[0]
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            case _:
                self.failure = NoBroker(str(error))
                return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _skip_message(self, packet: bytes, command: int, error: Exception) -> MQTTErrorCode:
        """One message costs itself: it is named and acknowledged, else it would come for ever."""
        end = 2 + int.from_bytes(packet[:2], "big")
        topic = packet[2:end].decode(errors="replace")
        self.unreadable(topic, error)
        number = packet[end : end + 2]
        if command & 0x06 == 0x02 and len(number) == 2:
            return self._send_puback(int.from_bytes(number, "big"))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take_acknowledgement(self, packet: bytes) -> MQTTErrorCode:
        """One with a reason that MQTT 5 has no place for there, as Mosquitto 2.0 sends it."""
        mid, code = int.from_bytes(packet[:2], "big"), packet[2]
        with self._out_message_mutex:
            if mid not in self._out_messages:
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            self._told(mid, code)
            unspecified = ReasonCode(PacketTypes.PUBACK, identifier=0x80)
            empty = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]
            return super()._do_on_publish(mid, unspecified, empty)

    def _do_on_publish(
        self, mid: int, reason_code: ReasonCode, properties: Properties
    ) -> MQTTErrorCode:
        self._told(mid, reason_code.value)
        return super()._do_on_publish(mid, reason_code, properties)

    def _told(self, mid: int, code: int) -> None:
        message = self._out_messages[mid]
        self._born.pop(mid, None)
        self.acknowledged(message.topic, len(message.payload), code)

    def _handle_disconnect(self) -> None:
        packet = self._in_packet["packet"]
        self.goodbye = packet[0] if packet else 0
        super()._handle_disconnect()
