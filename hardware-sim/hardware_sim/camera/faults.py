"""A camera's faults as a control panel: each can be set, changed and cleared while the line runs.

There is no schedule here: who turns the knobs, and when, is a scenario's business.
"""

from __future__ import annotations

import threading
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from shared.errors import SettingsError
from shared.features import optics
from shared.features.optics import Pixels
from shared.settings import Settings, validate

_DROP, _AGAIN = 5, 6
Pixel = Annotated[float, Field(ge=0, le=64)]
Share = Annotated[float, Field(ge=0, le=1)]


class Exposure(Settings):
    """Too bright or too dark, or on the way there."""

    kind: Literal["exposure"] = "exposure"
    stops: float = Field(default=0.0, ge=-8, le=8, description="above 0: brighter")
    drift: float = Field(default=0.0, ge=-60, le=60, description="stops a minute from now on")

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:
        drifted = self.stops + self.drift * (seen.at - seen.since) / 60
        return optics.exposed(pixels, float(np.clip(drifted, -8, 8)))


class Defocus(Settings):
    """Out of focus."""

    kind: Literal["defocus"] = "defocus"
    radius_px: Pixel = 2.0

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:  # noqa: ARG002 - as its siblings
        return optics.defocused(pixels, self.radius_px)


class MotionBlur(Settings):
    """The shutter is open for too long."""

    kind: Literal["motion_blur"] = "motion_blur"
    length_px: Pixel = 5.0

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:  # noqa: ARG002 - as its siblings
        return optics.motion_blurred(pixels, self.length_px)


class Vibration(Settings):
    """The mount is loose."""

    kind: Literal["vibration"] = "vibration"
    amplitude_px: Pixel = 3.0

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:
        return optics.shaken(pixels, self.amplitude_px, seen.seed, seen.part)


class Dust(Settings):
    """Dust on the lens."""

    kind: Literal["dust"] = "dust"
    spots: int = Field(default=12, ge=0, le=500)

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:
        return optics.dusty(pixels, self.spots, seen.seed)


class HotPixels(Settings):
    """Sensor pixels that are stuck at white."""

    kind: Literal["hot_pixels"] = "hot_pixels"
    count: int = Field(default=40, ge=0, le=100_000)

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:
        return optics.with_hot_pixels(pixels, self.count, seen.seed)


class Flicker(Settings):
    """Lamps that follow the mains."""

    kind: Literal["flicker"] = "flicker"
    depth: Share = Field(default=0.3, description="how much darker at the darkest")
    hz: float = Field(default=100.0, gt=0, le=1000, description="of the light: twice the mains")

    def on(self, pixels: Pixels, seen: EffectContext) -> Pixels:
        return optics.flickered(pixels, self.depth, self.hz, seen.at)


class Freeze(Settings):
    """The camera gives the last picture before the fault, again and again."""

    kind: Literal["freeze"] = "freeze"


class Drops(Settings):
    """Frames get lost between camera and box."""

    kind: Literal["drops"] = "drops"
    share: Share = Field(default=0.1, description="of the frames")


class Duplicates(Settings):
    """Frames arrive twice."""

    kind: Literal["duplicates"] = "duplicates"
    share: Share = Field(default=0.1, description="of the frames")


class Disconnect(Settings):
    """The camera is gone until this is cleared."""

    kind: Literal["disconnect"] = "disconnect"
    sensor_lives: bool = Field(
        default=True,
        description="the trigger sensor still tells the box of each part; false: it hears nothing",
    )


Distortion = Exposure | Defocus | MotionBlur | Vibration | Dust | HotPixels | Flicker
Effect = Annotated[
    Distortion | Freeze | Drops | Duplicates | Disconnect, Field(discriminator="kind")
]
# As light goes: lamp, moving part, loose mount, lens, sensor.
_ORDER = (
    "flicker", "motion_blur", "vibration", "defocus", "dust", "exposure", "hot_pixels",
)  # fmt: skip
_OTHERS = ("freeze", "drops", "duplicates", "disconnect")


class _Wrapped(Settings):
    effect: Effect


class EffectContext(NamedTuple):
    """What a distortion may depend on. `at`, `since`: monotonic s, now and when it was set."""

    part: int
    at: float
    since: float
    seed: int


class Shot(NamedTuple):
    """A picture on its way to the box. `shown`: the number of the part that is on it."""

    pixels: Pixels
    shown: int


def parse_effect(values: object) -> Effect:
    """Plain values such as {"kind": "defocus", "radius_px": 3}. Raises SettingsError."""
    return validate({"effect": values}, _Wrapped, "what was asked for").effect


def known_effects() -> tuple[str, ...]:
    """Every kind of effect, in the order of light."""
    return (*_ORDER, *_OTHERS)


class CameraFaults:
    """Turns a part's true picture into what the box gets. Knobs may be turned from any thread."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._effects: dict[str, tuple[Effect, float]] = {}
        self._lock = threading.Lock()
        self._last: Shot | None = None

    @property
    def active(self) -> list[Effect]:
        """What is set now, in the order in which it was."""
        return [effect for effect, _ in self._effects.values()]

    def set(self, effect: Effect, at: float) -> None:
        """Switch an effect on, or change the one of its kind; `at` in monotonic seconds."""
        with self._lock:
            self._effects = {**self._effects, effect.kind: (effect, at)}

    def clear(self, kind: str | None = None) -> None:
        """Switch one kind off, or all. Raises SettingsError for a kind that there is not."""
        if kind is not None and kind not in known_effects():
            raise SettingsError(
                f"there is no effect {kind!r}", fix=f"use one of {', '.join(known_effects())}"
            )
        with self._lock:
            kept = {k: e for k, e in self._effects.items() if kind is not None and k != kind}
            self._effects = kept

    @property
    def disconnected(self) -> Disconnect | None:
        """The present disconnect, where there is one."""
        effect, _ = self._effects.get("disconnect", (None, 0.0))
        return effect if isinstance(effect, Disconnect) else None

    def through(self, pixels: Pixels, part: int, at: float) -> list[Shot]:
        """What arrives of part `part`'s picture, taken at monotonic second `at`: 0 to 2 shots."""
        effects = self._effects
        shot = self._taken(pixels, part, at, effects)
        if "disconnect" in effects or self._happens(_DROP, part, effects.get("drops")):
            return []
        return [shot] * (2 if self._happens(_AGAIN, part, effects.get("duplicates")) else 1)

    def _taken(
        self, pixels: Pixels, part: int, at: float, effects: dict[str, tuple[Effect, float]]
    ) -> Shot:
        if "freeze" in effects and self._last is not None:
            return self._last
        for kind in _ORDER:
            effect, since = effects.get(kind, (None, 0.0))
            if isinstance(effect, Distortion):
                pixels = effect.on(pixels, EffectContext(part, at, since, self._seed))
        self._last = Shot(pixels, part)
        return self._last

    def _happens(self, stream: int, part: int, entry: tuple[Effect, float] | None) -> bool:
        if entry is None or not isinstance(entry[0], Drops | Duplicates):
            return False
        return bool(np.random.default_rng([self._seed, stream, part]).random() < entry[0].share)
