"""What the agent wants of a camera."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from shared.clock import Clock
from shared.contracts import Frame
from shared.errors import CameraError
from shared.plugins.group import PluginGroup
from shared.redaction import redact
from shared.settings import Settings

S = TypeVar("S", bound=Settings)
CameraStatus = Literal["opening", "live", "frozen", "blank", "retrying", "ended"]


@dataclass(frozen=True, slots=True)
class MissedFrame:
    """A part that came by without a usable picture: it still needs a verdict, the fail-safe one.

    Fields as in `contracts.Frame`; `error` says what was wrong with the picture. `uncounted` parts
    came by before it, with numbers of their own, of which there are too many for a record each.
    """

    part: int
    triggered: float
    deadline: float
    source: str
    error: CameraError
    fields: Mapping[str, str | float] = field(default_factory=dict)
    uncounted: int = 0


CameraEvent = Frame | MissedFrame


@dataclass(frozen=True, slots=True)
class CameraState:
    """How a camera is, for people.

    error      the last one, without passwords; empty where all is well
    retry_at   seconds on the monotonic clock of the next attempt, None where none is planned
    """

    status: CameraStatus
    error: str = ""
    retry_at: float | None = None

    def describe(self, now: float) -> str:
        """One line; `now` in seconds on the monotonic clock."""
        text: str = self.status
        if self.retry_at is not None:
            text += f" in {max(0.0, self.retry_at - now):.0f} s"
        return redact(f"{text}: {self.error}") if self.error else text


class Camera(Protocol):
    """A source of parts. `frames` is called once, from one thread; `stop` from any."""

    @property
    def state(self) -> CameraState:
        """How it is now."""

    def probe(self) -> None:
        """Raises CameraError where no picture can be had now. Leaves nothing open."""

    def frames(self, first_part: int, deadline_s: float) -> Iterator[CameraEvent]:
        """Parts as they come, until the source ends or `stop` is called.

        first_part   number of the first part, at least 1
        deadline_s   seconds from trigger to deadline
        """

    def stop(self) -> None:
        """End `frames` soon. May be called twice."""


@dataclass(frozen=True, slots=True)
class CameraKind(Generic[S]):
    """What an entry point of `splitsight.cameras` names.

    settings   its part of the configuration, with a field `kind: Literal[name]`
    open       makes a camera; connects only in `frames` and `probe`
    replays    it plays what is stored: the same picture again means nothing
    """

    name: str
    settings: type[S]
    open: Callable[[S, Clock], Camera]
    replays: bool = False


CAMERAS: PluginGroup[CameraKind[Any]] = PluginGroup(
    "splitsight.cameras", "camera", CameraKind, Camera, tagged=True
)
