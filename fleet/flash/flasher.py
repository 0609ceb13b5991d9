"""Writes a card so that a power cut at any time leaves an old card, an unfinished or a new one.

First nothing boots any more; then the content, read back; then the record that says which slot to
boot; last the partition table, without which no firmware finds anything. A flush lies between each
of these. How far it came stands on the card itself, in front of the first partition, so that the
next run goes on from there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fleet.flash.card import Card, Span
from fleet.flash.gpt import HEAD_SECTORS, TAIL_SECTORS, head, parse, tail
from fleet.flash.layout import grown
from shared.errors import FlashError
from shared.format import size
from shared.log import get_logger
from shared.storage.disks import RECORD_LABEL, RECORD_PLACES, SECTOR, RawDisk, SectorPair
from shared.storage.slots import SlotRecord
from shared.storage.twin import Twin, pack

log = get_logger("flash")

NOTE_START = 64 << 10
NOTE_PLACES = (0, 64 << 10)
PIECE = 1 << 20
NOTE_EVERY = 64 << 20

Step = Literal["check", "erase", "write", "verify", "finish"]


@dataclass(frozen=True, slots=True)
class Report:
    """How far a step is; bytes."""

    step: Step
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class CardState:
    """What a card says of itself.

    kind     unknown: not written by us, or not even begun; unfinished; complete
    image    the image's identity
    reached  bytes of the body that are surely on it
    """

    kind: Literal["unknown", "unfinished", "complete"]
    image: str = ""
    reached: int = 0

    def describe(self) -> str:
        if self.kind == "unfinished":
            return f"the card is unfinished: {size(self.reached)} are on it, and it does not boot"
        if self.kind == "complete":
            return "the card is complete"
        return "the card holds nothing that we wrote"


def card_state(disk: RawDisk) -> CardState:
    """Read only. Raises OSError."""
    copy = note_of(disk).read()
    if copy is None:
        return CardState("unknown")
    image, reached = copy.fields.get("image", ""), int(copy.fields.get("reached", "0"))
    # The note says that it was written; the table says that nobody cut it off after that.
    whole = copy.fields.get("state") == "complete" and parse(disk.read, disk.size) is not None
    return CardState("complete" if whole else "unfinished", image, reached)


def note_of(disk: RawDisk) -> Twin:
    """Where the flasher notes on the card how far it came."""
    return Twin(SectorPair(disk, NOTE_START, NOTE_PLACES))


class Flasher:
    """Writes one card. Raises DeviceRefused where it is too small."""

    def __init__(
        self,
        disk: RawDisk,
        card: Card,
        report: Callable[[Report], None],
        *,
        note_every: int = NOTE_EVERY,
    ) -> None:
        """note_every: bytes between two notes on the card, each with a flush before it"""
        self._disk = disk
        self._card = card
        self._report = report
        self._note_every = note_every
        self._table = grown(card.table, disk.size)
        self._note = note_of(disk)
        self._reached = 0

    def flash(self) -> None:
        """Raises FlashError that says what state the card is in."""
        try:
            self._begin()
            self._write()
            self._verify()
            self._finish()
        except OSError as error:
            raise FlashError(
                f"the card stopped answering ({error.strerror or error}): "
                f"{size(self._reached)} of {size(self._body_bytes)} are surely on it, "
                "and it does not boot",
                fix="plug it in again and run the same command: it goes on from there",
            ) from error

    @property
    def _body_bytes(self) -> int:
        return sum(span.size for span in self._card.body)

    def _begin(self) -> None:
        """From here on the card boots nothing, until it is finished."""
        state = card_state(self._disk)
        if state.kind == "unfinished" and state.image == self._card.identity:
            self._reached = state.reached
            log.info("flash_resumed", reached=state.reached)
        size = self._disk.size
        record = self._table.named(RECORD_LABEL).start
        self._disk.write(0, bytes(HEAD_SECTORS * SECTOR))
        self._disk.write(size - TAIL_SECTORS * SECTOR, bytes(TAIL_SECTORS * SECTOR))
        for place in RECORD_PLACES:
            self._disk.write(record + place, bytes(SECTOR))
        self._disk.flush()
        self._tell("unfinished")
        self._report(Report("erase", 1, 1))

    def _write(self) -> None:
        done, noted = 0, self._reached
        for span, offset, length in self._cut(self._card.body):
            done += length
            if done <= self._reached:
                continue
            self._put(span, offset, length)
            if done - noted >= self._note_every:
                self._disk.flush()
                self._reached = noted = done
                self._tell("unfinished")
            self._report(Report("write", done, self._total))
        for span, offset, length in self._cut(self._card.boot):
            done += length
            self._put(span, offset, length)
            self._report(Report("write", done, self._total))
        self._disk.flush()
        self._reached = self._body_bytes
        self._tell("unfinished")

    @property
    def _total(self) -> int:
        return self._body_bytes + sum(span.size for span in self._card.boot)

    def _put(self, span: Span, offset: int, length: int) -> None:
        self._disk.write(span.start + offset, span.read(offset, length))

    def _verify(self) -> None:
        done = 0
        for span in (*self._card.body, *self._card.boot):
            for _, offset, length in self._cut([span]):
                wanted = hashlib.sha256(span.read(offset, length)).digest()
                found = hashlib.sha256(self._disk.read(span.start + offset, length)).digest()
                if found != wanted:
                    raise FlashError(
                        f"the card gives back something else at byte {span.start + offset}; it "
                        "does not boot",
                        fix="it is worn out, or smaller than it says: use another one",
                    )
                done += length
                self._report(Report("verify", done, self._total))

    def _finish(self) -> None:
        record = self._table.named(RECORD_LABEL).start
        self._disk.write(record + RECORD_PLACES[0], pack(1, SlotRecord().to_fields()))
        self._disk.flush()
        size = self._disk.size
        self._disk.write(size - TAIL_SECTORS * SECTOR, tail(self._table, size))
        self._disk.write(0, head(self._table, size))
        self._disk.flush()
        self._tell("complete")
        self._report(Report("finish", 1, 1))

    def _tell(self, state: str) -> None:
        self._note.write(
            {"image": self._card.identity, "state": state, "reached": str(self._reached)}
        )

    def _cut(self, spans: Sequence[Span]) -> Iterator[tuple[Span, int, int]]:
        """Each span in pieces: offset within it, and length."""
        step = min(PIECE, self._note_every)
        for span in spans:
            for offset in range(0, span.size, step):
                yield span, offset, min(step, span.size - offset)
