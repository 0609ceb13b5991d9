"""What changes together when another bundle goes live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.inspection.inspector import Looks
from shared.bundles.bundle import Bundle
from shared.contracts import Finding, Frame
from shared.features.codec import FeatureCodec
from shared.features.pixel_settings import AS_IT_IS, PixelSettings


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One bundle, ready to judge parts.

    bundle     its id, for the records
    pair       the id of the head and tail that belong together
    cap_bytes  of an escalation's features
    runtime    that runs its head, for people
    pixels     what is done to a camera's pixels before
    source     where it comes from, for who wants to look again; None: nowhere that can be opened
    """

    bundle: str
    pair: str
    inspector: Looks
    codec: FeatureCodec
    cap_bytes: int
    runtime: str
    pixels: PixelSettings = AS_IT_IS
    source: Bundle | None = None

    @classmethod
    def of(cls, bundle: Bundle, inspector: Looks, runtime: str) -> LiveModel:
        manifest = bundle.manifest
        return cls(
            bundle.id,
            manifest.pair,
            inspector,
            bundle.codec,
            manifest.features.cap_bytes,
            runtime,
            manifest.input.pixels,
            bundle,
        )


class Observes(Protocol):
    """Watches what the live model does. Called between camera and verdict: must not wait."""

    def saw(self, frame: Frame, finding: Finding, seconds: float) -> None:
        """A part was looked at, in so many seconds."""

    def failed(self) -> None:
        """A part could not be looked at."""


class NobodyWatches:
    """For an agent that is not updated."""

    def saw(self, frame: Frame, finding: Finding, seconds: float) -> None:
        pass

    def failed(self) -> None:
        pass


class AllWatch:
    """Several who watch: what one of them raises keeps nothing from the others."""

    def __init__(self, *watching: Observes) -> None:
        self._watching = watching

    def saw(self, frame: Frame, finding: Finding, seconds: float) -> None:
        self._each(lambda one: one.saw(frame, finding, seconds))

    def failed(self) -> None:
        self._each(lambda one: one.failed())

    def _each(self, call: Callable[[Observes], None]) -> None:
        """Raises the first thing that one of them raises, after all were called."""
        failed: Exception | None = None
        for one in self._watching:
            try:
                call(one)
            except Exception as error:  # noqa: BLE001 - whatever it is
                failed = failed or error
        if failed is not None:
            raise failed
