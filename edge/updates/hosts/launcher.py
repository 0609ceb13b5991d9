"""Which application to start: the one that the record names, its try taken."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge.updates.disk import RealDisk
from edge.updates.hosts.applications import PROGRAM, SLOT_VARIABLE, AppSlots
from shared.log import get_logger
from shared.storage.slots import Slot

log = get_logger("launcher")


def launched(folder: Path | None, config: Path) -> tuple[list[str], dict[str, str]]:
    """The command that runs the agent, and its environment.

    folder  of the updates; None: there are none, and this installation runs
    A slot without a program is what was installed beside the launcher: this installation.
    """
    if folder is None:
        return _command(None, config), dict(os.environ)
    slots = AppSlots(RealDisk(), folder / "app")
    slot = slots.booted()
    record = slots.marked().record
    if record.trial == slot and _program(slots, slot) is None:
        log.warning("application_missing", slot=slot)
        slots.mark(record.returned())
        slot = record.live
    program = _program(slots, slot)
    log.info("application_started", slot=slot, program=str(program or sys.executable))
    return _command(program, config), {**os.environ, SLOT_VARIABLE: slot}


def _program(slots: AppSlots, slot: Slot) -> Path | None:
    program = slots.tree(slot) / PROGRAM
    return program if os.access(program, os.X_OK) else None


def _command(program: Path | None, config: Path) -> list[str]:
    start = [str(program)] if program else [sys.executable, "-m", "shared.commands"]
    return [*start, "edge", "run", "--config", str(config)]
