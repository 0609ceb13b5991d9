"""The labelled pictures in a box's journal, read while the agent writes to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.journal.schema import connect_to_read
from edge.learning.labelled_parts import GOOD, LabelledPicture, use_of
from shared.errors import DataError, JournalError
from shared.features.picture_file import decoded
from shared.opener import Unopenable

BUSY_S = 5.0
_MASK = (
    "SELECT mask FROM label_masks JOIN labelled USING (boot, sequence, said_at) "
    "WHERE labelled.id = ? AND mask IS NOT NULL"
)


class JournalParts:
    """What the journal held when `refresh` was last called. Each read is short: the agent writes
    meanwhile, and none of it waits for us.
    """

    def __init__(self, path: Path, device: str) -> None:
        """Raises JournalError where the journal can't be read."""
        self._path = path
        self._device = device
        self._ids: list[int] = []
        self._index: list[LabelledPicture] = []
        self.refresh()

    @property
    def device(self) -> str:
        return self._device

    def refresh(self) -> None:
        """Read the labels anew. Raises JournalError."""
        try:
            with closing(self._connect()) as connection:
                rows = connection.execute(
                    "SELECT id, part, defective, kind, domain FROM labelled ORDER BY id"
                ).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"the labels in {self._path} can't be read ({error})") from error
        self._ids = [row[0] for row in rows]
        self._index = [self._label(*row[1:]) for row in rows]

    def index(self) -> Sequence[LabelledPicture]:
        return self._index

    def picture(self, place: int) -> NDArray[np.uint8]:
        """Raises DataError where it has left the journal since, or can't be read."""
        try:
            with closing(self._connect()) as connection:
                row = connection.execute(
                    "SELECT picture FROM labelled WHERE id = ?", (self._ids[place],)
                ).fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"a picture in {self._path} can't be read ({error})") from error
        try:
            return decoded(row[0] if row else b"", cv2.IMREAD_ANYCOLOR)
        except Unopenable as error:
            part = self._index[place].part
            raise DataError(
                f"the picture of {part} is gone, or is none that can be read ({error})"
            ) from error

    def mask(self, place: int) -> NDArray[np.bool_] | None:
        """What an inspector drew, of the picture's size; None where they drew nothing, or nothing
        that can be read: then the label alone teaches."""
        try:
            with closing(self._connect()) as connection:
                row = connection.execute(_MASK, (self._ids[place],)).fetchone()
        except sqlite3.Error:
            # A journal that an older agent made has no masks.
            return None
        if row is None:
            return None
        try:
            drawn = decoded(row[0], cv2.IMREAD_GRAYSCALE)
        except Unopenable:
            return None
        height, width = self.picture(place).shape[:2]
        size = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(size) > 127

    def _label(self, part: int, defective: int, kind: str, domain: str) -> LabelledPicture:
        # A part's number is its line's; the device's name makes it the plant's.
        name = f"{self._device}/{part}"
        said = kind if defective else GOOD
        return LabelledPicture(name, bool(defective), said, domain, use_of(name))

    def _connect(self) -> sqlite3.Connection:
        return connect_to_read(self._path, BUSY_S, "this learner")
