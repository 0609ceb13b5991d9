"""What the agent wants of an actuator, and the fake that tests use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from shared.clock import Clock
from shared.contracts import Verdict, plain_verdict
from shared.plugins.group import PluginGroup
from shared.settings import Settings

S = TypeVar("S", bound=Settings)


class Actuator(Protocol):
    """Passes parts or diverts them.

    It is told `pass` or `reject`. One that can do something of its own with a part that a person
    shall look at, a third way out of the line or a mark, is a `ReviewActuator`.
    """

    def start(self) -> None:
        """Connect, and reconnect for ever after. Returns at once."""

    def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
        """Do to `part` what the verdict says, when it passes at monotonic second `at`.

        Must return within milliseconds, since the next parts wait behind it. Called by one thread
        after the other; but a call that has not returned after a second counts as failed and is
        left behind, and the next one may run beside it. Raises ActuatorError where the device did
        not take it; the caller has already recorded the verdict.
        """

    def stop(self) -> None:
        """Let go of the device. May be called twice."""


class ReviewActuator(Actuator, Protocol):
    """An actuator that is told `review` too, where its `takes_review` is true."""

    takes_review: bool


def told(actuator: Actuator, verdict: Verdict) -> Verdict:
    """What the actuator is told: for one that does not take `review`, the part is a reject."""
    takes_review: bool = getattr(actuator, "takes_review", False)
    return verdict if takes_review else plain_verdict(verdict)


class Actuation(NamedTuple):
    """What an actuator was told."""

    part: int
    verdict: Verdict
    at: float


class RecordingActuator:
    """Keeps what it was told, in order."""

    def __init__(self, *, takes_review: bool = True) -> None:
        self.takes_review = takes_review
        self.actuations: list[Actuation] = []

    def start(self) -> None:
        """Nothing to connect."""

    def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
        self.actuations.append(Actuation(part, verdict, at))

    def stop(self) -> None:
        """Nothing to let go of."""

    @property
    def verdicts(self) -> dict[int, Verdict]:
        """The last verdict by part."""
        return {told.part: told.verdict for told in self.actuations}


@dataclass(frozen=True, slots=True)
class ActuatorKind(Generic[S]):
    """What an entry point of `splitsight.actuators` names; fields as in `CameraKind`."""

    name: str
    settings: type[S]
    open: Callable[[S, Clock], Actuator]


ACTUATORS: PluginGroup[ActuatorKind[Any]] = PluginGroup(
    "splitsight.actuators", "actuator", ActuatorKind, Actuator, tagged=True
)
