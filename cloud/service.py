"""The cloud service: every part made, joined, started in order and stopped in reverse."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, TypeVar

from cloud.accounts.access import HOUR_S, open_access
from cloud.accounts.first_account import FirstAccount
from cloud.alerts.assembly import AlertService
from cloud.alerts.plant_watch import RuleLimits, of_plant
from cloud.broker.embedded import EmbeddedBroker
from cloud.configuration.settings import CloudSettings, PictureSettings
from cloud.drift.intake import SketchIntake
from cloud.drift.store import DriftStore
from cloud.drift.stream import ReferenceLimits
from cloud.drift.watch import of_drift
from cloud.health.line_watch import LineWatch
from cloud.health.monitor import HealthMonitor, Telling
from cloud.health.running_promise import PromiseMonitor
from cloud.inference.counters import EventCounters
from cloud.inference.guard import GuardedTransport
from cloud.inference.handover import Handover
from cloud.inference.intake import Intake
from cloud.inference.probe import GroupProbe
from cloud.inference.queue import WorkQueue
from cloud.inference.quota import DeviceQuota
from cloud.inference.registry import TailRegistry
from cloud.inference.roster import RosteredTails, WorkerRoster
from cloud.inference.sweep import RetainedSweep
from cloud.inference.worker import TailWorker
from cloud.labels.delivery import LabelDelivery
from cloud.labels.store import StoredLabels
from cloud.pictures.base import PictureRules
from cloud.pictures.fetch import BoxPictures, FetchLimits
from cloud.records.clock_guard import ClockGuard
from cloud.records.database import Database
from cloud.records.retention import Retention
from cloud.records.rollup_worker import RollupWorker
from cloud.records.store import RecordStore
from cloud.records.workers import WorkerStore
from cloud.records.writer import RecordsWriter
from cloud.web.context import Backstage
from cloud.web.http_tls import HttpTls, OpenHttp
from shared.clock import Clock, SystemClock
from shared.descriptors import raise_limit
from shared.errors import RecordsError
from shared.log import get_logger
from shared.loopback import is_loopback, require_free, shown
from shared.plugins.services import Service, Surroundings, service_kinds
from shared.transport.mqtt import MqttTransport
from shared.worker import DeadWorkers

if TYPE_CHECKING:
    from cloud.accounts.oidc import OidcProvider
    from cloud.web.http_server import HttpServer

log = get_logger("cloud")
T = TypeVar("T")

# For what is under way when the service stops: a database that is silent is not waited for longer.
STOP_S = 5.0
START_S, RETRY_S = 60.0, 1.0


class CloudService:
    """Broker, intake, tails, records, API and what is plugged in, in one process."""

    def __init__(self, settings: CloudSettings, clock: Clock | None = None) -> None:
        """Opens bundles and checks them; raises BundleError, ParityError, RecordsError."""
        self._settings = settings
        clock = clock or SystemClock()
        tails = TailRegistry(settings.bundles, settings.runtime, settings.tail.max_batch)
        self._stopping = threading.Event()
        self._dead = DeadWorkers()
        self._closing = ExitStack()
        self._database = Database(settings.database)
        self._broker = _embedded(settings)
        tls = settings.api.tls
        self._tls = HttpTls(tls.certificate, tls.key, clock) if tls else None
        name = f"cloud-{secrets.token_hex(6)}"
        self._mqtt = MqttTransport(settings.broker, name)
        quota = DeviceQuota(
            clock, messages_per_s=settings.quota.messages_per_s, names=settings.quota.devices
        )
        self._transport = GuardedTransport(self._mqtt, quota, clock)
        self._workers = WorkerStore(self._database)
        self._roster = WorkerRoster(
            store=self._workers,
            worker=name,
            name=f"{socket.gethostname()}:{os.getpid()}",
            serves=lambda: list(tails),
            connected=lambda: self._transport.connected,
            clock=clock,
            on_death=self._dead,
        )
        # A connection of its own: what is retained must not hold up what is fresh.
        self._sweeper = MqttTransport(settings.broker, f"{name}-sweep")
        self._sweep = RetainedSweep(self._sweeper, self._dead)
        self._probe = GroupProbe(self._transport, name, clock, self._dead)
        self._writer = RecordsWriter(
            RecordStore(self._database), self._dead, keep_maps=settings.keep_maps
        )
        self._clock_guard = ClockGuard(RecordStore(self._database), clock, self._dead)
        self._rollups = RollupWorker(self._database, clock, self._dead)
        self._retention = Retention(self._database, settings.retention.policy(), clock, self._dead)
        counters = EventCounters()
        handover = Handover(self._transport, self._roster, counters)
        queue = WorkQueue(
            clock,
            capacity=settings.tail.max_queue,
            max_batch=settings.tail.max_batch,
            max_wait_s=settings.tail.max_wait_ms / 1000,
        )
        self._judge = TailWorker(
            queue=queue,
            tails=tails,
            transport=self._transport,
            writer=self._writer,
            counters=counters,
            clock=clock,
            on_death=self._dead,
            handover=handover,
        )
        self._intake = Intake(
            transport=self._transport,
            tails=tails,
            queue=queue,
            writer=self._writer,
            counters=counters,
            clock=clock,
            handover=handover,
            clocks=self._clock_guard.heard,
        )
        tails.on_change(self._intake.take_handed)
        health = HealthMonitor(
            transport=self._transport,
            broker_address=shown(settings.broker.host, settings.broker.port),
            embedded=settings.embedded_broker.enabled,
            database=self._database,
            writer=self._writer,
            tails=tails,
            queue=queue,
            counters=counters,
            dead=self._dead,
            roster=self._roster,
            tell=[
                *([self._broker] if self._broker else []),
                self._probe,
            ],
            # Whatever one device sends, the others are served: nothing may end the service for it.
            warn=[
                quota,
                self._intake.unserved,
                self._clock_guard,
                self._rollups,
                self._retention,
                *self._warnings(),
                # Made below: it keeps who did what.
                LaterTold(lambda: self._alerts.problems),
            ],
        )
        token = settings.api.token.get_secret_value() if settings.api.token else None
        around = Surroundings(
            self._transport,
            clock,
            RosteredTails(tails, self._roster),
            token,
            self._stopping,
            self._dead,
        )
        if token is not None:
            log.warning("setting_deprecated", setting="api.token", works="in this release only")
        self._access = open_access(
            self._database,
            clock,
            token=token,
            local=is_loopback(settings.api.host),
            idle_s=settings.api.sessions.idle_h * HOUR_S,
            absolute_s=settings.api.sessions.longest_h * HOUR_S,
        )
        self._alerts = AlertService(
            settings.alerts,
            self._database,
            self._transport,
            clock=clock,
            on_death=self._dead,
            audit=self._access.audit,
            worker=name,
        )
        limits = ReferenceLimits(settings.drift.reference_parts, settings.drift.false_alarm)
        drift = DriftStore(self._database, limits)
        self._sketches = SketchIntake(drift, self._transport, clock, self._dead)
        self._first = FirstAccount(self._database, clock, settings.api.first_account)
        self._services = list(_plugged_in(settings, around))
        self._labels = LabelDelivery(
            StoredLabels(self._database), self._transport, clock, self._dead
        )
        serves = lambda: {  # noqa: E731
            one.bundle.id: one.bundle.manifest.certificate for one in tails.snapshot()
        }
        watch = LineWatch(
            self._database,
            health,
            PromiseMonitor(self._database, serves),
            clock,
            RuleLimits(self._alerts.office.store.rules, clock),
        )
        self._watches = [of_plant(watch), of_drift(drift, clock)]
        self._pictures = BoxPictures(self._transport, name, _fetch_limits(settings.pictures))
        self._backstage = Backstage(
            self._database,
            health,
            token,
            clock,
            self._stopping,
            self._services,
            self._labels.hurry,
            serves,
            self._access,
            self._first,
            self._alerts.office,
            drift,
            lambda: sorted(
                {kind for one in tails.snapshot() for kind in one.bundle.manifest.classes}
            ),
            settings.shifts,
            lambda: [one.bundle for one in tails.snapshot()],
            provider=self._provider(clock),
            watch=watch,
            prices=settings.prices,
            pictures=self._pictures,
            picture_rules=_picture_rules(settings.pictures),
        )
        self._server: HttpServer | None = None
        self.url = ""

    def start(self) -> Self:
        """Start every part; returns when devices and people are served.

        Raises RecordsError, ProcessError; then nothing of it still runs.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Answer and store what is under way, then end. May be called twice."""
        self._stopping.set()
        self._database.hurry(STOP_S)
        self._closing.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _provider(self, clock: Clock) -> OidcProvider | None:
        settings = self._settings.api.oidc
        if settings is None:
            return None
        from cloud.accounts.oidc import OidcProvider  # noqa: PLC0415

        provider = OidcProvider(settings, clock)
        self._closing.callback(provider.close)
        return provider

    def _warnings(self) -> list[Telling]:
        if self._tls is not None:
            return [self._tls]
        return [OpenHttp(self._settings.api.host)] if self._settings.api.exposed else []

    def _start(self) -> None:
        settings, closing = self._settings, self._closing
        raise_limit()
        closing.callback(self._database.close)
        require_free(settings.api.host, settings.api.port, setting="api.port")
        self._database.migrate()
        # Before anything of ours writes: on a slow disk it would wait for that too long.
        group = self._patiently(self._workers.group)
        closing.callback(self._stop_serving)
        if self._tls is not None:
            closing.callback(self._tls.watch(self._dead).stop)
        if self._broker is not None:
            closing.callback(self._broker.stop)
            self._broker.start()
        self._clock_guard.start()
        closing.callback(self._clock_guard.stop)
        for kept in (self._rollups, self._retention):
            kept.start()
            closing.callback(kept.stop)
        self._writer.start()
        closing.callback(self._transport.stop)
        closing.callback(self._writer.stop)
        self._judge.start()
        closing.callback(self._judge.stop)
        self._intake.start(group)
        self._sketches.listen(group)
        self._probe.listen()
        self._labels.listen()
        self._pictures.listen()
        self._labels.start()
        closing.callback(self._labels.stop)
        for service in self._services:
            closing.callback(service.stop)
            service.start()
        self._transport.start()
        if not self._mqtt.wait_until_connected(settings.broker.connect_timeout_s):
            log.warning(
                "broker_not_there_yet", host=settings.broker.host, port=settings.broker.port
            )
        self._sweeper.start()
        closing.callback(self._sweeper.stop)
        self._sweep.start()
        closing.callback(self._sweep.stop)
        self._probe.start()
        closing.callback(self._probe.stop)
        # Before people and rollouts ask what it serves.
        self._patiently(self._roster.look)
        self._roster.start()
        closing.callback(self._roster.stop)
        self._sketches.start()
        closing.callback(self._sketches.stop)
        closing.callback(self._alerts.stop)
        self._alerts.start(self._watches)
        self._serve()
        if not self._access.accounts.any:
            self._first.offer(_from_elsewhere(self.url))
        log.info("ready", address=self.url, broker_port=settings.broker.port)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Of a database that another program holds locked, or that is just being started again.

        Raises RecordsError where that goes on for START_S.
        """
        give_up = time.monotonic() + START_S
        while True:
            try:
                return ask()
            except RecordsError as error:
                if time.monotonic() > give_up or self._stopping.wait(RETRY_S):
                    raise
                log.warning("database_waited_for", reason=error.message, at_most_s=START_S)

    def _serve(self) -> None:
        """Pages and API, with all that they need, are read last: it takes a second, in which
        devices have their answers already."""
        from cloud.app import create_app  # noqa: PLC0415
        from cloud.web.http_server import HttpServer  # noqa: PLC0415

        api = self._settings.api
        self._server = server = HttpServer(
            create_app(self._backstage),
            api.host,
            api.port,
            self._dead,
            tls=self._tls.context if self._tls else None,
            proxies=api.proxies,
            root_path=api.root_path,
        )
        server.start()
        self.url = server.url

    def _stop_serving(self) -> None:
        if self._server is not None:
            self._server.stop()


class LaterTold:
    """What a part says that is made after who asks it."""

    def __init__(self, problems: Callable[[], list[str]]) -> None:
        self._problems = problems

    @property
    def problems(self) -> list[str]:
        return self._problems()


def _embedded(settings: CloudSettings) -> EmbeddedBroker | None:
    own, broker = settings.embedded_broker, settings.broker
    return EmbeddedBroker(own.kind, broker.host, broker.port, own.secure) if own.enabled else None


def _fetch_limits(asked: PictureSettings) -> FetchLimits:
    return FetchLimits(of_box=asked.of_box, whole_s=asked.wait_s)


def _picture_rules(asked: PictureSettings) -> PictureRules:
    return PictureRules(asked.policy, asked.sites, asked.reasons, asked.at_once)


def _from_elsewhere(url: str) -> str:
    """The address as others can write it: every address is none."""
    for every in ("//0.0.0.0:", "//[::]:"):
        url = url.replace(every, f"//{socket.gethostname()}:")
    return url


def _plugged_in(settings: CloudSettings, around: Surroundings) -> Iterator[Service]:
    """The services that the configuration names."""
    for name, kind in service_kinds().items():
        own = getattr(settings, name, None)
        if own is not None:
            yield kind.open(own, around)
