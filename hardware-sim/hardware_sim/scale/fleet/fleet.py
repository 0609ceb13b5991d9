"""All numbers of devices of one run, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hardware_sim.scale.fleet.options import (
    FleetOptions,
    require_broker,
    require_descriptors,
    require_time,
)
from hardware_sim.scale.fleet.orders import RECORDING
from hardware_sim.scale.fleet.records import writing_cost
from hardware_sim.scale.fleet.report import FleetRow, PartCost
from hardware_sim.scale.fleet.trial import Tend, Trial
from hardware_sim.scale.recording import record
from shared.bundles.bundle import Bundle
from shared.errors import SettingsError
from shared.loopback import require_free

Watch = Callable[[Trial], None]
"""Called often with what runs; raises to end it."""


class Fleet:
    """Records the head's findings once, then tries each number of devices with them."""

    def __init__(self, options: FleetOptions, folder: Path) -> None:
        """Raises SettingsError, BundleError, DataError or ProcessError for what can't be measured
        here.
        """
        if options.port:
            require_free("127.0.0.1", options.port, setting="--port")
        if options.broker_port:
            require_free("127.0.0.1", options.broker_port, setting="--broker-port")
        for devices in options.devices:
            require_descriptors(devices)
            require_broker(devices)
            _require_new(_folder_of(folder, devices))
        self._options = options
        self._folder = folder
        self._recording, self._cost = record(Bundle.open(options.bundle), options.runtime)
        self._recording.require(options.escalated)
        require_time(options, self._cost)

    def rows(self, watch: Watch) -> Iterator[FleetRow]:
        """A row a number of devices, as they are measured; growth is not in them yet.

        Raises ProcessError where a process fails. Nothing is left running.
        """
        writing = writing_cost(self._folder)
        one_part = PartCost(
            head_ms=round(self._cost.head_ms, 3),
            tail_ms=round(self._cost.tail_ms, 3),
            escalation_bytes=round(self._cost.escalation_bytes, 1),
            commit_ms=round(writing.commit_ms, 3),
            commit_cpu_ms=round(writing.commit_cpu_ms, 3),
            row_ms=round(writing.row_ms, 4),
            row_bytes=round(writing.row_bytes, 1),
        )
        for devices in self._options.devices:
            trial = self.trial(devices)
            try:
                yield trial.run(_watching(watch, trial), one_part)
            finally:
                trial.stop()

    def trial(self, devices: int) -> Trial:
        """One number of devices, with a folder of its own."""
        folder = _folder_of(self._folder, devices)
        folder.mkdir()
        self._recording.save(folder / RECORDING)
        return Trial(self._options, devices, folder)


def _folder_of(folder: Path, devices: int) -> Path:
    return folder / f"devices-{devices}"


def _require_new(folder: Path) -> None:
    if folder.exists():
        raise SettingsError(
            f"{folder} holds an earlier run", fix="give --keep another folder, or remove this one"
        )


def _watching(watch: Watch, trial: Trial) -> Tend:
    return lambda: watch(trial)
