"""Everything about alerts, put together from the cloud's settings."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.accounts.audit import AuditLog
from cloud.alerts.board import AlertBoard
from cloud.alerts.desk import AlertDesk
from cloud.alerts.keeper import AlertKeeper, Watch
from cloud.alerts.mail import MailChannel
from cloud.alerts.mqtt import MqttChannel
from cloud.alerts.notice import Channel
from cloud.alerts.notice_delivery import NoticeDelivery
from cloud.alerts.notice_outbox import NoticeOutbox
from cloud.alerts.store import AlertStore
from cloud.alerts.webhook import WebhookChannel
from cloud.configuration.alert_settings import AlertSettings
from cloud.records.database import Database
from shared.clock import Clock
from shared.transport.base import Transport
from shared.worker import OnDeath


class AlertOffice:
    """What pages and API need: to read alerts, and to act on them."""

    def __init__(
        self, database: Database, clock: Clock, audit: AuditLog, channels: Sequence[str] = ()
    ) -> None:
        self.store = AlertStore(database, channels)
        self.board = AlertBoard(database, clock)
        self._keeper: AlertKeeper | None = None
        self.desk = AlertDesk(self.store, self.board, audit, clock, self._hurry)

    def kept_by(self, keeper: AlertKeeper) -> None:
        """Who looks again when somebody has changed something."""
        self._keeper = keeper

    def _hurry(self) -> None:
        if self._keeper is not None:
            self._keeper.hurry()


class AlertService:
    """Looks, writes down, and tells others; a part of the cloud's process."""

    def __init__(
        self,
        settings: AlertSettings,
        database: Database,
        transport: Transport,
        *,
        clock: Clock,
        on_death: OnDeath,
        audit: AuditLog,
        worker: str,
    ) -> None:
        """worker: the name of this process among those on the database"""
        self._settings = settings
        self._clock = clock
        self._on_death = on_death
        self._worker = worker
        self._channels = channels(settings, transport, clock)
        names = [channel.name for channel in self._channels]
        self._outbox = NoticeOutbox(database)
        self.office = AlertOffice(database, clock, audit, names)
        self._keeper: AlertKeeper | None = None
        self._deliveries: list[NoticeDelivery] = []

    @property
    def problems(self) -> list[str]:
        """Of channels by which nobody can be told."""
        return [text for one in self._deliveries for text in one.problems]

    def start(self, watches: Sequence[Watch]) -> None:
        """watches: where what is wrong is seen"""
        self._keeper = keeper = AlertKeeper(
            self.office.store,
            watches,
            self._clock,
            self._on_death,
            worker=self._worker,
            every_s=self._settings.every_s,
            told=self._hurry,
        )
        self.office.kept_by(keeper)
        self._deliveries = [
            NoticeDelivery(
                channel, self._outbox, self._clock, self._on_death, leads=lambda: keeper.leads
            )
            for channel in self._channels
        ]
        for delivery in self._deliveries:
            delivery.start()
        keeper.start()

    def stop(self) -> None:
        """May be called twice, and without `start`."""
        for delivery in self._deliveries:
            delivery.stop()
        if self._keeper is not None:
            self._keeper.stop()

    def _hurry(self) -> None:
        for delivery in self._deliveries:
            delivery.hurry()


def channels(settings: AlertSettings, transport: Transport | None, clock: Clock) -> list[Channel]:
    """Every way by which others are told. transport: None: not by MQTT"""
    found: list[Channel] = [
        WebhookChannel(webhook, clock, number, settings.address)
        for number, webhook in enumerate(settings.webhooks, start=1)
    ]
    if settings.mail is not None:
        found.append(MailChannel(settings.mail, settings.address))
    if settings.mqtt.enabled and transport is not None:
        found.append(MqttChannel(transport))
    return found
