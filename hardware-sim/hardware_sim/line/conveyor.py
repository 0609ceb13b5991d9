"""A conveyor's geometry: when each part triggers, is photographed, and passes the ejector.

Positions are metres along the belt, in its direction; times are seconds on the monotonic clock.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared.errors import SettingsError
from shared.settings import Settings

Metres = Annotated[float, Field(allow_inf_nan=False)]
_PLACE = 4


class LineSettings(Settings):
    """The geometry of a line. Every mistake in it is told at once."""

    speed: Metres = Field(default=0.5, description="of the belt, m/s, above 0")
    pitch: Metres = Field(default=0.25, description="from one part to the next, m")
    part_length: Metres = Field(default=0.1, description="along the belt, m")
    jitter: Metres = Field(
        default=0.0, description="standard deviation of each part's place about its pitch, m"
    )
    trigger_at: Metres = Field(default=0.1, description="position of the trigger sensor, m")
    camera_at: Metres = Field(default=0.1, description="position of the camera, m")
    ejector_at: Metres = Field(default=0.6, description="position of the ejector, m")
    sensor_fires: bool = Field(
        default=True,
        description="the trigger sensor fires the camera; false: the camera sees parts by itself",
    )
    reaction_ms: Metres = Field(
        default=20.0, description="the ejector must know so long before the part reaches it, ms"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> LineSettings:
        problems = [
            InitErrorDetails(
                type=PydanticCustomError("geometry", "{problem}", {"problem": problem}),
                loc=(field,),
                input=getattr(self, field),
            )
            for field, problem in self._problems()
        ]
        if problems:
            raise ValidationError.from_exception_data("LineSettings", problems)
        return self

    @property
    def triggered_at(self) -> float:
        """Where a part is when it is first known of."""
        return self.trigger_at if self.sensor_fires else self.camera_at

    @property
    def deadline_s(self) -> float:
        """What an agent on this line must keep, from trigger to verdict, at the line's speed."""
        return (self.ejector_at - self.triggered_at) / self.speed - self.reaction_ms / 1000

    def _problems(self) -> list[tuple[str, str]]:
        """(field, what is wrong with it)."""
        found = [
            (field, "must be above 0")
            for field in ("speed", "pitch", "part_length")
            if getattr(self, field) <= 0
        ]
        found += [
            (field, "must not be below 0")
            for field in ("jitter", "reaction_ms")
            if getattr(self, field) < 0
        ]
        if 0 < self.pitch < self.part_length:
            found.append(("pitch", f"parts of {self.part_length:g} m would overlap"))
        if self.sensor_fires and self.camera_at < self.trigger_at:
            before = f"lies before the trigger sensor at {self.trigger_at:g} m, which fires it"
            found.append(("camera_at", before))
        if self.ejector_at <= self.camera_at:
            found.append(("ejector_at", f"must lie behind the camera at {self.camera_at:g} m"))
        elif self.speed > 0 and self._seen_to_ejected_s * 1000 <= self.reaction_ms:
            shown = f"{self._seen_to_ejected_s * 1000:g} ms from camera to ejector leave no time"
            found.append(("reaction_ms", shown))
        return found

    @property
    def _seen_to_ejected_s(self) -> float:
        return (self.ejector_at - self.camera_at) / self.speed


class Conveyor:
    """A belt that runs, whose speed may change, with numbered parts on it; part 1 comes first.

    `started`: when the belt began; part n starts n pitches (give or take the jitter) before
    position 0, so that part 1 does not lie on a sensor already.
    """

    def __init__(
        self, settings: LineSettings, *, seed: int, started: float, first_part: int = 1
    ) -> None:
        self.settings = settings
        self._seed = seed
        self._first = first_part
        # (from when, travelled by then in metres, at what speed from then on)
        self._legs: list[tuple[float, float, float]] = [(started, 0.0, settings.speed)]
        self._place = lru_cache(maxsize=256)(self._drawn_place)

    def start(self, at: float) -> None:
        """The belt begins at `at` instead, and with its first speed again."""
        self._legs = [(at, 0.0, self.settings.speed)]

    @property
    def speed(self) -> float:
        """m/s, at present."""
        return self._legs[-1][2]

    def change_speed(self, speed: float, at: float) -> None:
        """From `at` on the belt runs at `speed`, m/s. Raises SettingsError for a belt that stands.

        `at` must not lie before the last change.
        """
        if not (math.isfinite(speed) and speed > 0):
            raise SettingsError(
                f"the belt's speed can't be {speed:g} m/s", fix="give a speed above 0"
            )
        since, travelled, before = self._legs[-1]
        at = max(at, since)
        self._legs.append((at, travelled + (at - since) * before, speed))

    def triggers(self, part: int) -> float:
        """When the part is first known of: at the sensor, or at a camera that runs by itself."""
        return self._passes(part, self.settings.triggered_at)

    def photographed(self, part: int) -> float:
        return self._passes(part, self.settings.camera_at)

    def ejects(self, part: int) -> float:
        """When the part passes the ejector."""
        return self._passes(part, self.settings.ejector_at)

    def deadline(self, part: int) -> float:
        """The last instant at which a verdict can still be obeyed, as the belt runs now."""
        return self.ejects(part) - self.settings.reaction_ms / 1000

    @property
    def window_s(self) -> float:
        """An actuation within so many seconds of a part's passage hits this part, not the next."""
        return self.settings.pitch / 2 / self.speed

    def _passes(self, part: int, position: float) -> float:
        way = self._place(part) + position
        since, travelled, speed = self._legs[0]
        for leg in self._legs[1:]:
            if leg[1] >= way:
                break
            since, travelled, speed = leg
        return since + (way - travelled) / speed

    def _drawn_place(self, part: int) -> float:
        """Metres before position 0 at the start; parts keep their order and never overlap."""
        room = (self.settings.pitch - self.settings.part_length) / 2
        rng = np.random.default_rng([self._seed, _PLACE, part])
        offset = min(max(float(rng.normal(0.0, self.settings.jitter)), -room), room)
        return (part - self._first + 1) * self.settings.pitch + offset
