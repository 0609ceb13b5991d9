"""What changes together when another bundle goes live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.inspection.inspector import Looks
from shared.bundles.bundle import Bundle
from shared.contracts import Finding, Frame
from shared.features.codec import FeatureCodec


@dataclass(frozen=True, slots=True)
class LiveModel:
    """One bundle, ready to judge parts.

    bundle     its id, for the records
    pair       the id of the head and tail that belong together
    cap_bytes  of an escalation's features
    runtime    that runs its head, for people
    """

    bundle: str
    pair: str
    inspector: Looks
    codec: FeatureCodec
    cap_bytes: int
    runtime: str

    @classmethod
    def of(cls, bundle: Bundle, inspector: Looks, runtime: str) -> LiveModel:
        manifest = bundle.manifest
        cap_bytes = manifest.features.cap_bytes
        return cls(bundle.id, manifest.pair, inspector, bundle.codec, cap_bytes, runtime)


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
