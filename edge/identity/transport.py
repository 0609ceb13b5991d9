"""The connection to the broker of a box whose certificate comes, and changes, while it runs."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping

from edge.identity.est import EstClient
from edge.identity.folder import Credential
from edge.identity.renewal import Keeper
from edge.identity.settings import DeviceIdentitySettings
from edge.monitoring.health import BoxHealth
from shared.clock import Clock
from shared.errors import IdentityError, TransportError
from shared.log import get_logger
from shared.topics import Address
from shared.transport.base import TransportView, Will
from shared.transport.mqtt import BrokerSettings, MqttTransport, tls_context

log = get_logger("identity")

# Verdicts that come while a connection changes its certificate wait at the broker.
SESSION_S = 60


class CertifiedTransport(TransportView[MqttTransport]):
    """A `shared.transport.base.Transport` that connects as soon as there is a certificate.

    Until then nothing is connected, and the box decides by itself.
    """

    def __init__(self, inner: MqttTransport, context: ssl.SSLContext, keeper: Keeper) -> None:
        """context: the one that `inner` connects with."""
        super().__init__(inner)
        self._context = context
        self.keeper = keeper
        self._lock = threading.Lock()
        self._will: Will | None = None
        self._started = False
        self._stopped = False

    @property
    def certified(self) -> bool:
        """Whether a connection can be tried now."""
        return self._started

    def start(self, will: Will | None = None) -> None:
        self._will = will
        try:
            present = self.keeper.credential()
        except IdentityError as error:
            # The keeper says so too, and goes on saying it.
            log.warning("certificate_unreadable", error=str(error))
            present = None
        if present is not None:
            self._show(present)
        self.keeper.start(self._show, lambda: self._transport.connected, shown=present is not None)

    def stop(self, goodbye: Will | None = None) -> None:
        self.keeper.stop()
        with self._lock:
            self._stopped = True
            if self._started:
                self._transport.stop(goodbye)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_s: float | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        if not self._started:
            raise TransportError("this box has no certificate yet", fix="enrol it: see the log")
        super().publish(topic, payload, retain=retain, expires_s=expires_s, properties=properties)

    def _show(self, credential: Credential) -> None:
        """From now on connect with this certificate."""
        with self._lock:
            if self._stopped:
                return
            try:
                # New handshakes take what the context holds then.
                self._context.load_cert_chain(credential.path)
            except (OSError, ssl.SSLError) as error:
                log.warning("certificate_unusable", path=str(credential.path), error=str(error))
                return
            if not self._started:
                self._started = True
                self._transport.start(self._will)
            elif not self._transport.reconnect():
                log.warning("not_reconnected_yet", serial=credential.serial)


def open_certified(
    identity: DeviceIdentitySettings,
    broker: BrokerSettings,
    address: Address,
    clock: Clock,
    health: BoxHealth,
) -> CertifiedTransport:
    """Raises IdentityError where the fleet's authority can't be read."""
    office = EstClient(identity.gateway, identity.ca, clock)
    keeper = Keeper(identity, address.device, office, clock, health)
    # The own certificate is loaded when it is there.
    context = tls_context(identity.tls.model_copy(update={"certificate": None}))
    keeper.guard(context)
    inner = MqttTransport(broker, address.device, context=context, session_s=SESSION_S)
    return CertifiedTransport(inner, context, keeper)
