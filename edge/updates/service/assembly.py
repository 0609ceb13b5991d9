"""Puts the updates of one box together: slots, hosts and machines of every kind that it has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from edge.configuration.settings import EdgeSettings
from edge.monitoring.health import BoxHealth
from edge.updates.base import Host, Offers, PayloadSource, Slots, Vitals
from edge.updates.disk import RealDisk
from edge.updates.drift import DriftLimits, against_trial, p99
from edge.updates.hosts.applications import SLOT_VARIABLE, AppHost, AppSlots
from edge.updates.hosts.images import ImageHost, ImageSlots, rebooting, running_slot
from edge.updates.hosts.models import SUFFIX, ModelHost, Opens, Swaps, start_model
from edge.updates.hosts.remote_settings import NAME, SettingsFile, SettingsHost, WantedSettings
from edge.updates.hosts.restart import RestartHost
from edge.updates.observation import ModelWatch
from edge.updates.progress import Memo
from edge.updates.service.updater import DesiredMemory, Updater
from edge.updates.settings import UpdateSettings
from edge.updates.slots import FolderSlots
from edge.updates.state_machine import UpdateMachine
from edge.updates.transfer.download import HttpSource
from edge.updates.transfer.fetch import GatewayEndpoint, open_pool
from edge.updates.trust.offers import TrustedOffers
from edge.updates.trust.tuf_client import Trust
from shared.clock import Clock
from shared.errors import SettingsError
from shared.releases import RELEASE_KINDS, ReleaseKind, hardware_here
from shared.storage.slots import SLOTS, Slot
from shared.transport.base import Transport

# A look may take half the time from the trigger to the verdict.
BUDGET_SHARE = 0.5
# So long may a camera or a broker take to come after a start.
SETTLE_S = 30.0
CUT_OFF_S = 300.0
THERMAL = Path("/sys/class/thermal")


@dataclass(frozen=True)
class Reopening:
    """How the box came by its settings, and how they can change."""

    file: SettingsFile
    slots: FolderSlots
    slot: Slot


class Inspects(Swaps, Protocol):
    """What is needed of an agent; see `edge.agent.Agent`."""

    @property
    def inspected(self) -> int: ...


@dataclass(frozen=True)
class Neighbours:
    """What updates need of the box.

    hold     sends nothing while there is a reason
    waiting  inspections that the cloud has not acknowledged
    camera   how it is: a word of `edge.camera.base.CameraStatus`
    """

    agent: Inspects
    transport: Transport
    health: BoxHealth
    boot: str
    hold: Callable[[str], None]
    waiting: Callable[[], int]
    camera: Callable[[], str]


class UpdateAssembly:
    """Made before the agent, since it knows which bundle to start with; `open` after it.

    restart_box, restart_process  ask for a start with what is live then; return at once
    """

    def __init__(
        self,
        settings: EdgeSettings,
        updates: UpdateSettings,
        opens: Opens,
        clock: Clock,
        *,
        restart_box: Callable[[], None],
        restart_process: Callable[[], None],
        reopening: Reopening | None = None,
    ) -> None:
        """Raises what opening the bundle raises, and SettingsError or ReleaseError where releases
        can't be trusted from here."""
        self._settings = settings
        self._updates = updates
        self._clock = clock
        self._restart_box = restart_box
        self._restart_process = restart_process
        self._reopening = reopening
        self._disk = RealDisk()
        self._limits = DriftLimits(budget_s=BUDGET_SHARE * settings.deadline_ms / 1000)
        self._started = clock.monotonic()
        self._reached = False
        self._gateway = gateway_of(settings, updates)
        trusted = updates.folder / "trust"
        self._trust = Trust(trusted, self._gateway, root_of(updates), clock)
        self.watch = ModelWatch()
        self._slots = FolderSlots(self._disk, updates.folder / "model", SUFFIX)
        slot, self.model = start_model(self._slots, settings.bundle, opens)
        self._host = ModelHost(
            slots=self._slots,
            factory=settings.bundle,
            opens=opens,
            watch=self.watch,
            limits=self._limits,
            clock=clock,
            started=slot,
        )

    def open(self, near: Neighbours) -> Updater:
        """Subscribes, and starts nothing yet."""
        self._host.attach(near.agent, self.model)
        source = HttpSource(open_pool(self._gateway))
        hardware = self._updates.hardware or hardware_here()
        wanted = WantedSettings()
        machines = {}
        for kind, (slots, host) in self._kinds(near).items():
            if kind == NAME:
                machines[kind] = self._machine(kind, slots, host, wanted, wanted)
                continue
            for known in RELEASE_KINDS:
                if kind == known:
                    offers = TrustedOffers(self._trust, known, hardware)
                    machines[kind] = self._machine(kind, slots, host, offers, source)
        updater = Updater(
            near.transport,
            self._settings.address,
            boot=near.boot,
            machines=machines,
            settings=wanted,
            memory=DesiredMemory(self._disk, self._updates.folder / "desired"),
            facts=lambda: self._facts(near),
            versions={"agent": _own_version(), "hardware": hardware},
            hold=near.hold,
            clock=self._clock,
            report_s=self._updates.report_s,
            on_death=near.health.worker_died,
        )
        updater.listen()
        return updater

    def _kinds(self, near: Neighbours) -> dict[ReleaseKind | str, tuple[Slots, Host]]:
        folder = self._updates.folder
        kinds: dict[ReleaseKind | str, tuple[Slots, Host]] = {"model": (self._slots, self._host)}
        restarting: list[RestartHost] = []
        slot = app_slot()
        if slot is not None:
            app = AppSlots(self._disk, folder / "app")
            app_host = AppHost(app, slot, self._restart_process)
            kinds["app"] = app, app_host
            restarting.append(app_host)
        image = self._updates.image
        if image is not None:
            parts: dict[Slot, Path] = {"a": image.slot_a, "b": image.slot_b}
            images = ImageSlots(self._disk, folder / "image", image.record, parts)
            image_host = ImageHost(images, running_slot(image.running), rebooting(image.reboot))
            kinds["image"] = images, image_host
            restarting.append(image_host)
        again = self._reopening
        if again is not None:
            settings_host = SettingsHost(again.slots, again.file, again.slot, self._restart_box)
            kinds[NAME] = again.slots, settings_host
            restarting.append(settings_host)
        for host in restarting:
            host.attach(lambda: self._vitals(near))
        return kinds

    def _machine(
        self, kind: str, slots: Slots, host: Host, offers: Offers, source: PayloadSource
    ) -> UpdateMachine:
        return UpdateMachine(
            kind,
            slots=slots,
            host=host,
            offers=offers,
            source=source,
            memo=Memo(self._disk, self._updates.folder / kind / "memo.json"),
            clock=self._clock,
            reserve=self._updates.reserve_bytes if kind != NAME else 0,
        )

    def _vitals(self, near: Neighbours) -> Vitals:
        """Of this start as a whole: for what can't be compared part by part."""
        age = self._clock.monotonic() - self._started
        self._reached = self._reached or near.transport.connected
        figures = {"trial_p99_ms": p99(self.watch.looks) * 1000}
        wrong = against_trial([], self.watch.looks, self.watch.failures, self._limits)
        if not wrong and age > SETTLE_S and near.camera() == "retrying":
            wrong = "the camera gives no pictures"
        if not wrong and any(text.startswith("actuator") for text in near.health.problems):
            wrong = "the actuator fails"
        if not wrong and age > CUT_OFF_S and not self._reached:
            wrong = "the broker was never reached"
        return Vitals(self.watch.parts if self._reached else 0, wrong, figures)

    def _facts(self, near: Neighbours) -> dict[str, float]:
        looks = self.watch.looks
        facts = {
            "disk_free_bytes": float(shutil.disk_usage(self._updates.folder).free),
            "queue": float(near.waiting()),
            "uptime_s": self._clock.monotonic() - self._started,
            "p99_ms": p99(looks) * 1000,
            "inspected": float(near.agent.inspected),
            "swap_gap_ms": self._host.gap_s * 1000,
        }
        temperature = read_temperature(THERMAL)
        return facts if temperature is None else facts | {"temperature_c": temperature}


def gateway_of(settings: EdgeSettings, updates: UpdateSettings) -> GatewayEndpoint:
    """Where releases come from. Raises SettingsError where nothing says so."""
    identity, server, ca = settings.identity, updates.server, updates.ca
    if server is None and identity is not None:
        server = f"{identity.gateway}/releases"
    if server is None:
        raise SettingsError(
            "updates.server is missing", fix="give it, or an identity with a gateway"
        )
    return GatewayEndpoint(server, ca or (identity.ca if identity else None))


def root_of(updates: UpdateSettings) -> bytes:
    """Raises SettingsError where the file can't be read."""
    try:
        return updates.root.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"updates.root can't be read ({error})",
            fix="copy root.json of `splitsight fleet release init` to the device",
        ) from error


def app_slot() -> Slot | None:
    """The slot that the launcher started us from; None where it did not."""
    said = os.environ.get(SLOT_VARIABLE)
    return next((slot for slot in SLOTS if slot == said), None)


def read_temperature(folder: Path) -> float | None:
    """The hottest zone in °C; None where the machine shows none."""
    found = []
    for path in folder.glob("thermal_zone*/temp"):
        try:
            found.append(int(path.read_text(encoding="ascii")) / 1000)
        except (OSError, ValueError):
            continue
    return max(found, default=None)


def _own_version() -> str:
    try:
        return version("splitsight")
    except PackageNotFoundError:
        return "unknown"
