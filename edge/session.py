"""Runs the box, and opens it anew where its settings were changed from afar."""

from __future__ import annotations

from pathlib import Path

from edge.box import CameraBox
from edge.updates.disk import RealDisk
from edge.updates.hosts.remote_settings import NAME, SUFFIX, SettingsFile
from edge.updates.service.assembly import Reopening
from edge.updates.slots import FolderSlots
from shared.clock import Clock
from shared.errors import RESTART_EXIT, SplitsightError
from shared.log import get_logger

log = get_logger("session")


class AgentSession:
    """One process of the agent."""

    def __init__(self, config: Path, clock: Clock) -> None:
        self._file = SettingsFile(config)
        self._clock = clock
        self._box: CameraBox | None = None
        self._stopped = False

    def run(self) -> int:
        """Inspect until the camera ends or `stop` is called; the exit code.

        Raises what opening the box raises.
        """
        alone = self._file.alone()
        if alone.updates is None:
            return self._inspect(CameraBox(alone, self._clock))
        slots = FolderSlots(RealDisk(), alone.updates.folder / NAME, SUFFIX)
        while True:
            box = self._opened(slots)
            code = self._inspect(box)
            if box.reopen != "box" or self._stopped:
                return code
            log.info("box_reopened")

    def stop(self) -> None:
        """End soon and cleanly. May be called from a signal handler, and twice."""
        self._stopped = True
        if self._box is not None:
            self._box.stop()

    def _opened(self, slots: FolderSlots) -> CameraBox:
        loaded = self._file.load(slots)
        try:
            return CameraBox(
                loaded.settings,
                self._clock,
                reopening=Reopening(self._file, slots, loaded.slot),
            )
        except SplitsightError as error:
            record = slots.marked().record
            if record.trial is None:
                raise
            log.warning("settings_unusable", slot=loaded.slot, error=str(error))
            slots.mark(record.returned())
            return self._opened(slots)

    def _inspect(self, box: CameraBox) -> int:
        self._box = box
        if self._stopped:
            box.stop()
        box.run()
        return RESTART_EXIT if box.reopen == "process" else 0
