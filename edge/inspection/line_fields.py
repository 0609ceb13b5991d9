"""What the line says of a part: its lot, for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.camera.base import CameraEvent
from shared.inspection import LINE_COLUMNS, storable_text


class LineFields:
    """Fields of an inspection that no one at the box can see."""

    def __init__(self, always: Mapping[str, str] | None = None) -> None:
        """always: what holds for each part of which the camera says nothing else"""
        self._always = always or {}

    def of(self, event: CameraEvent) -> dict[str, Any]:
        """Of one part, by name; what is too long is cut."""
        said = {**self._always, **event.fields}
        return {
            column.name: storable_text(str(said[column.name]), column.stored.longest)
            for column in LINE_COLUMNS
            if column.name in said
        }
