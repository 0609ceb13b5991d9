"""A block device in memory that remembers its writes and what a power cut could leave of them."""

from __future__ import annotations

from collections.abc import Iterator

from shared.errors import SettingsError
from tests.support.crash_states import USUAL, Coverage, CrashState, Effort, Ledger

SECTOR = 512


class RecordingDevice:
    """Written and read like a raw disk; sectors are written whole or not at all.

    A write that covers a part of a sector rewrites the rest as it was, as the page cache does.
    """

    def __init__(
        self,
        size: int,
        *,
        sector: int = SECTOR,
        initial: bytes = b"",
        torn_at: tuple[int, ...] = (),
    ) -> None:
        """size: bytes, a multiple of `sector`
        initial: what it holds at first, from offset 0; zeros after that
        torn_at: bytes within a sector at which a write may also be torn; disks promise that
        there are none
        Raises SettingsError for a geometry that can't be.
        """
        if sector < 1 or size < sector or size % sector:
            raise SettingsError(
                f"a device of {size} B can't have sectors of {sector} B",
                fix="give it a positive multiple of its sector",
            )
        if len(initial) > size:
            raise SettingsError(
                f"{len(initial)} B don't fit on a device of {size} B", fix="give it a larger size"
            )
        wrong = [cut for cut in torn_at if not 0 < cut < sector]
        if wrong:
            raise SettingsError(
                f"a sector of {sector} B can't be torn at byte {wrong[0]}",
                fix=f"tear it between 1 and {sector - 1}",
            )
        self.size, self.sector = size, sector
        self._torn_at = torn_at
        self._content = bytearray(initial.ljust(size, b"\0"))
        used = range(-(-len(initial) // sector))
        before = {number: self._at(number) for number in used}
        self._ledger: Ledger[int] = Ledger(before, self._torn)

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """Into the cache; with `fua` (force unit access) onto the disk itself.

        Raises SettingsError beyond the end.
        """
        self._check(offset, len(data))
        self._content[offset : offset + len(data)] = data
        numbers = range(offset // self.sector, -(-(offset + len(data)) // self.sector))
        for number in numbers:
            self._ledger.write(number, self._at(number))
        if fua:
            self._ledger.flush(frozenset(numbers))

    def read(self, offset: int, length: int) -> bytes:
        """What was written last. Raises SettingsError beyond the end."""
        self._check(offset, length)
        return bytes(self._content[offset : offset + length])

    def flush(self) -> None:
        """Everything written so far is on the disk when this returns."""
        self._ledger.flush()

    def confirm(self) -> int:
        """Note that what was written is promised from here on; see `Ledger.confirm`."""
        return self._ledger.confirm()

    def crash_states(
        self,
        effort: Effort = USUAL,
        coverage: Coverage | None = None,
    ) -> Iterator[CrashedDevice]:
        """What a power cut at any time since the start could leave, each state once."""
        for state in self._ledger.states(effort, coverage):
            yield CrashedDevice(self.size, self.sector, state)

    def _at(self, number: int) -> bytes:
        return bytes(self._content[number * self.sector : (number + 1) * self.sector])

    def _torn(self, before: bytes, after: bytes) -> list[bytes]:
        before = before or bytes(self.sector)
        return [
            torn
            for cut in self._torn_at
            for torn in (after[:cut] + before[cut:], before[:cut] + after[cut:])
        ]

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise SettingsError(
                f"bytes {offset} to {offset + length} don't lie on a device of {self.size} B",
                fix="stay within its size",
            )


class CrashedDevice:
    """A device as a power cut left it. Reading takes only the sectors that are read."""

    def __init__(self, size: int, sector: int, state: CrashState[int]) -> None:
        self.size = size
        self._sector = sector
        self._state = state

    @property
    def confirmed(self) -> int:
        """How many confirmations had been given at most: so many promises must hold."""
        return self._state.confirmed

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of this state; cut short at the end of the device."""
        end = min(offset + length, self.size)
        first, last = offset // self._sector, -(-end // self._sector)
        whole = b"".join(
            self._state.get(number) or bytes(self._sector) for number in range(first, last)
        )
        start = offset - first * self._sector
        return whole[start : start + end - offset]

    def restored(self) -> RecordingDevice:
        """The device after the power is back, to write to again."""
        return RecordingDevice(self.size, sector=self._sector, initial=self.read(0, self.size))
