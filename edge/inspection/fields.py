"""What is kept of a part beside what the head makes of it: its lot, or what a package adds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from edge.camera.base import CameraEvent
from edge.monitoring.health import BoxHealth
from shared.calls import CallHangs, LimitedCalls
from shared.contracts import Frame
from shared.errors import said
from shared.inspection import LINE_COLUMNS, Inspection, storable_fields, storable_text
from shared.log import get_logger
from shared.plugins.group import PluginGroup

log = get_logger("fields")

LIMIT_S = 0.25


class InspectionField(Protocol):
    """A field that a package adds to every inspection: a function of the frame.

        [project.entry-points."splitsight.inspection_fields"]
        sharpness = "my_package:sharpness"

    The entry point's name is the field's: lower-case letters, digits and `_`, 32 at most, a letter
    first. Its values are in `Inspection.fields`, from the box's journal to the cloud's records, the
    API and the part's page. An inspection has `MAX_FIELDS` of them, all packages' together; the
    name `novelty` is the agent's own.
    """

    def __call__(self, frame: Frame) -> str | float | None:
        """A text of at most `LONGEST_FIELD` characters or a finite number; None: not known.

        Called once for each part that was seen, by one thread after the other, before the verdict
        is given: what it takes is missing from the deadline. What takes longer than LIMIT_S, is
        raised, or can't be kept costs this field of this part, and is a problem of the device until
        it goes well. A call that hangs is left behind, and the next one may run beside it.
        """


FIELDS: PluginGroup[InspectionField] = PluginGroup(
    "splitsight.inspection_fields", "inspection field"
)


class FieldSources:
    """Where the fields of an inspection come from that the head does not make."""

    def __init__(
        self,
        health: BoxHealth,
        always: Mapping[str, str] | None = None,
        plugged: Mapping[str, InspectionField] | None = None,
    ) -> None:
        """always: what the line says of each part of which the camera says nothing else
        plugged: what packages add, by name
        """
        self._health = health
        self._always = always or {}
        self._plugged = plugged or {}
        self._calls = {name: LimitedCalls(f"field {name}", LIMIT_S) for name in self._plugged}

    @classmethod
    def installed(cls, health: BoxHealth, always: Mapping[str, str]) -> FieldSources:
        """With what is installed; what can't be loaded is a problem and nothing else."""
        loaded = FIELDS.load_all()
        for one in loaded:
            if one.kind is None:
                health.problem(f"field {one.name}", one.error)
        return cls(health, always, {one.name: one.kind for one in loaded if one.kind})

    def said_of(self, event: CameraEvent) -> dict[str, Any]:
        """What settings and camera say of a part, as fields of its inspection."""
        said = {**self._always, **event.fields}
        found: dict[str, Any] = {
            column.name: storable_text(str(said.pop(column.name)), column.stored.longest)
            for column in LINE_COLUMNS
            if column.name in said
        }
        return {**found, "fields": storable_fields(said)}

    def seen_on(self, frame: Frame, inspection: Inspection) -> Inspection:
        """The inspection with what packages make of the frame."""
        if not self._plugged:
            return inspection
        found = dict(inspection.fields)
        for name, field in self._plugged.items():
            value = self._value(name, field, frame)
            if value is not None:
                found[name] = value
        return replace(inspection, fields=storable_fields(found))

    def _value(self, name: str, field: InspectionField, frame: Frame) -> str | float | None:
        try:
            value = self._calls[name](partial(field, frame))
        except CallHangs as error:
            self._failed(name, f"its call hangs: {error}")
            return None
        except Exception as error:  # noqa: BLE001 - a stranger's function may raise anything
            self._failed(name, said(error))
            return None
        if value is not None and not storable_fields({name: value}):
            self._failed(name, f"{value!r:.80} can't be kept under this name")
            return None
        self._health.well(f"field {name}")
        return value

    def _failed(self, name: str, why: str) -> None:
        self._health.count("fields_failed")
        self._health.problem(f"field {name}", why)
