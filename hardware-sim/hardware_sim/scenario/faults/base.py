"""What can be done to a plant on a scenario's timeline.

A fault is a class of settings that knows what it does. An entry point of the group
`splitsight.faults` leads to it, ours and those of other packages alike.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from hardware_sim.camera.faults import Effect
from hardware_sim.network.conditions import Conditions
from shared.plugins.group import PluginGroup
from shared.settings import Settings

ALL = "all"
Seconds = Annotated[float, Field(ge=0, le=36_000)]
Device = Annotated[str, Field(description="a device's name, or `all`")]
Undo = Callable[[], object]


class ProcessControls(Protocol):
    """What can be done to a process."""

    def start(self) -> None: ...

    def kill(self) -> None:
        """At once."""

    def pause(self) -> None:
        """It stands still, and knows nothing of it."""

    def resume(self) -> None: ...


class StationControls(Protocol):
    """What can be done to one device, its line and its link.

    Each method raises ProcessError where what it acts on is away.
    """

    def apply(self, conditions: Conditions | None) -> None:
        """To the link between box and broker; None: as it is when nothing is wrong."""

    def cut_connections(self) -> None:
        """Reset them; new ones may be made at once."""

    def cut_power(self) -> None:
        """Of the box."""

    def start_box(self) -> None:
        """As when its power comes back."""

    def pause_box(self) -> None:
        """Its agent stands still, and the line does not."""

    def resume_box(self) -> None: ...

    def set_effect(self, effect: Effect) -> None:
        """On the camera's picture."""

    def clear_effect(self, kind: str) -> None:
        """May be called when the line has seen its last part off."""

    def burst(self, parts: int, rate: float) -> None:
        """Of the next `parts` parts the share `rate` is defective."""

    def change_speed(self, speed: float) -> None:
        """Of the belt, m/s."""

    def reset_driver(self, for_s: float) -> None:
        """Of the accelerator that the box's profile describes."""

    def change_ambient(self, celsius: float) -> float:
        """Around that; returns what it was before."""


class PlantControls(Protocol):
    """What can be done to a plant."""

    def aimed(self, device: str) -> Sequence[StationControls]:
        """The devices that go by a name, or `all` of them."""

    @property
    def processes(self) -> Mapping[str, ProcessControls]:
        """`broker`, `database` where it is one, and `cloud-1` and so on, the cloud's workers."""


class Fault(Settings):
    """Something that happens at an instant; what lasts ends by itself after `for_s`.

    needs_profile   it acts on hardware that a box has only by its `profile`
    """

    needs_profile: ClassVar[bool] = False

    kind: str
    at_s: Seconds = Field(description="after the plant has come up")

    @abstractmethod
    def begin(self, plant: PlantControls) -> Iterable[Undo]:
        """Let it happen. Returns what ends it again; nothing where it ends by itself.

        Raises ProcessError where what it is aimed at is away.
        """

    @property
    def ends_s(self) -> float:
        """When all is as before, seconds after the plant has come up."""
        return self.at_s + getattr(self, "for_s", 0.0)

    @property
    def aim(self) -> str | None:
        """The device's name, `all`, or None for what concerns no device."""
        device: str | None = getattr(self, "device", None)
        return device

    @property
    def acts_on(self) -> str:
        """Two faults that act on the same of one device may not overlap: one would end both."""
        return self.kind

    @property
    def process(self) -> str:
        """Of the plant's `processes`, the one that it needs; empty: none."""
        return ""


class DeviceFault(Fault):
    """A fault of one device, or of each."""

    device: Device = ALL

    def begin(self, plant: PlantControls) -> list[Undo]:
        undo = [self.begin_at(station) for station in plant.aimed(self.device)]
        return [end for end in undo if end is not None]

    @abstractmethod
    def begin_at(self, station: StationControls) -> Undo | None:
        """As `begin`, at one of the devices."""


class RecordingStation:
    """Keeps what was done to it, in order: the method's name and what it was given."""

    def __init__(self, celsius: float = 20.0) -> None:
        self.done: list[tuple[object, ...]] = []
        self._celsius = celsius

    def apply(self, conditions: Conditions | None) -> None:
        self.done.append(("apply", conditions))

    def cut_connections(self) -> None:
        self.done.append(("cut_connections",))

    def cut_power(self) -> None:
        self.done.append(("cut_power",))

    def start_box(self) -> None:
        self.done.append(("start_box",))

    def pause_box(self) -> None:
        self.done.append(("pause_box",))

    def resume_box(self) -> None:
        self.done.append(("resume_box",))

    def set_effect(self, effect: Effect) -> None:
        self.done.append(("set_effect", effect))

    def clear_effect(self, kind: str) -> None:
        self.done.append(("clear_effect", kind))

    def burst(self, parts: int, rate: float) -> None:
        self.done.append(("burst", parts, rate))

    def change_speed(self, speed: float) -> None:
        self.done.append(("change_speed", speed))

    def reset_driver(self, for_s: float) -> None:
        self.done.append(("reset_driver", for_s))

    def change_ambient(self, celsius: float) -> float:
        self.done.append(("change_ambient", celsius))
        before, self._celsius = self._celsius, celsius
        return before


class RecordingProcess:
    """Writes down what is done to it."""

    def __init__(self, name: str, done: list[str]) -> None:
        self._name = name
        self._done = done

    def start(self) -> None:
        self._done.append(f"start {self._name}")

    def kill(self) -> None:
        self._done.append(f"kill {self._name}")

    def pause(self) -> None:
        self._done.append(f"pause {self._name}")

    def resume(self) -> None:
        self._done.append(f"resume {self._name}")


class RecordingPlant:
    """Stations by name, and what was done to broker, database and two workers of the cloud."""

    def __init__(self, *names: str) -> None:
        self.stations = {name: RecordingStation() for name in names}
        self.done: list[str] = []
        known = ("broker", "database", "cloud-1", "cloud-2")
        self.processes = {name: RecordingProcess(name, self.done) for name in known}

    def aimed(self, device: str) -> list[RecordingStation]:
        return [one for name, one in self.stations.items() if device in {ALL, name}]


FAULTS: PluginGroup[type[Fault]] = PluginGroup(
    "splitsight.faults", "fault", makes=Fault, tagged=True
)
