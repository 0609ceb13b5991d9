"""What the deadline has decided and the journal does not say yet: it was done before that."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import msgspec

from edge.journal.store import JournalStore
from edge.monitoring.health import BoxHealth
from shared.calls import LimitedCalls
from shared.errors import said
from shared.inspection import Inspection
from shared.log import get_logger

log = get_logger("journal")

WRITE_S = 0.05
MOST_BYTES = 4 << 20
_DECODER = msgspec.json.Decoder(Inspection)


class Diversions:
    """A file beside the journal, a line a part, that is there while an agent runs.

    No line is flushed, and none holds up a verdict for longer than WRITE_S: what was written lives
    through the end of the process, which is what it is for. A part that was diverted must neither
    vanish with the process nor give its number away.

    unclean   the agent before this one was killed
    """

    def __init__(self, journal: Path, health: BoxHealth) -> None:
        self._path = journal.with_name(journal.name + ".diverted")
        self._health = health
        self._calls = LimitedCalls("diversions", WRITE_S)
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._bytes = 0
        self.unclean = self._path.exists()
        # What an earlier agent noted stays until a journal has it.
        self._inherited = self.unclean

    def begin(self) -> None:
        """An agent runs from here on."""
        self._write(b"")

    def note(self, inspection: Inspection) -> None:
        """Before it is done. Where that can't be written, a problem says so."""
        line = msgspec.json.encode(inspection) + b"\n"
        with self._lock:
            if self._bytes + len(line) > MOST_BYTES:
                self._health.count("diversions_not_noted")
                return
            self._open.add(inspection.sequence)
            self._bytes += len(line)
            self._write(line)

    def journaled(self, sequence: int) -> None:
        """The journal says it now."""
        with self._lock:
            self._open.discard(sequence)
            if not self._open and self._bytes and not self._inherited:
                self._bytes = 0
                self._write(b"", os.O_TRUNC)

    def carry_into(self, store: JournalStore, after: int) -> None:
        """Write what an agent that was killed could not.

        after   the highest id of a row
        Raises what the store raises; then the file stays for the next time.
        """
        found = self._read()
        if found:
            store.commit([lambda to: to.carry_diverted(found, after)])
            log.warning("diversions_recovered", count=len(found), verdict="reject")
        self._inherited = False
        self._path.unlink(missing_ok=True)

    def end(self) -> None:
        """No agent runs any more, and the journal knows all that it is ever going to know."""
        with self._lock:
            if not self._open and not self._inherited:
                self._path.unlink(missing_ok=True)
        self._calls.stop()

    def _write(self, line: bytes, flag: int = os.O_APPEND) -> None:
        try:
            self._calls(partial(self._append, line, flag))
        except Exception as error:  # noqa: BLE001 - a disk that hangs, that is full, that is gone
            self._health.count("diversions_not_noted")
            self._health.problem("diversions", f"{self._path} can't be written: {said(error)}")
        else:
            self._health.well("diversions")

    def _append(self, line: bytes, flag: int) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def _read(self) -> list[Inspection]:
        try:
            lines = self._path.read_bytes()[: 2 * MOST_BYTES].split(b"\n")
        except OSError:
            return []
        found = []
        for line in filter(None, lines):
            try:
                found.append(_DECODER.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                # A power cut may leave half a line.
                log.warning("diversion_unreadable", size=len(line))
        return found
